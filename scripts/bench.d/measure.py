"""The measurements: our own modes, the comparison with the peers, and the gaps.

Machines are noisy, so wspushd and the peers are measured in rounds: in each round every server is
started, measured and stopped in turn. The medians of the rounds are compared if the rounds of each
server agree well enough.
"""

import itertools
import math
import statistics

import load
from load import say
from servers import KINDS

OWN_MODES = ["idle", "connect", "unicast", "burst", "topic", "broadcast", "upstream", "mixed",
             "churn", "steady", "crash", "reload", "upgrade"]
RATE = 10000            # pushes a second in the open loop
AGREE = 2               # a ratio is shown if the highest round is at most this multiple of the lowest
UNDISTURBED_MS = 5      # the longest stall of the machine itself that is accepted


def own(stage, how):
    """The modes on our own server, shown as they are measured."""
    with stage.run(KINDS["wspushd-2"]) as server:
        return on_server(server, how)


def on_server(server, how):
    modes = [mode for mode in OWN_MODES if mode not in how.without]
    return load.run(server, modes, table=True, events=5, every="800ms", **_common(how))


def _common(how):
    return {"connections": how.connections, "seconds": f"{how.seconds}s",
            "warmup": f"{how.warmup}s"}


def compare(stage, how, names):
    """[{"server", "round", "modes": {mode: result}}]: `open` is unicast at a rate."""
    out = []
    for turn in range(how.rounds):
        for name in names:
            say(f"round {turn + 1} of {how.rounds}: {name}")
            out.append({"server": name, "round": turn,
                        "modes": _attempt(stage, name, lambda server: _one(server, how, turn))})
    return out


def _attempt(stage, name, take):
    """A server's results; none, with a message, if it fails: the results of the others are still
    useful."""
    try:
        with stage.run(KINDS[name]) as server:
            return take(server)
    except (RuntimeError, OSError, AssertionError) as error:
        say(f"{name} FAILED: {error}")
        return {}


NAP = "1ms"


def _one(server, how, turn):
    """Makes clients poll at intervals where CPU is compared: to wake them costs the server more
    than the push, or nothing, depending on chance."""
    common = _common(how)
    results = {result["mode"]: result for result in
               load.run(server, ["idle", "connect"], first=max(1, how.connections // 8), **common)}
    if server.kind.login:   # after the login they are like any other client
        return results
    results |= {result["mode"]: result for result in
                load.run(server, ["unicast", "burst"], nap=NAP, **common)}
    if server.kind.broadcasts:
        [results["broadcast"]] = load.run(server.for_all, ["broadcast"], nap=NAP, **common)
    [results["open"]] = load.run(server, ["unicast"], rate=how.rate, **common)
    if turn == 0:       # counting slows the server, so these are separate runs
        counted = load.run(server, ["unicast", "burst"], "--syscalls", **common)
        for result in counted:
            results[result["mode"]]["calls"] = result["calls"]
    return results


def gaps(stage, how, names):
    """[{"server", "connections", "round", "modes": {mode: result}}]: in rounds, too, for sizes are
    compared. Peers come last, and once: they close thousands of connections, which would disturb a
    measurement that follows."""
    out = []
    ours, peers = ([name for name in names if KINDS[name].ours == own] for own in (True, False))
    for turn, connections, name in [*itertools.product(range(how.rounds), how.gap_sizes, ours),
                                    *itertools.product([0], how.gap_sizes, peers)]:
        say(f"gaps, round {turn + 1} of {how.rounds}: {name}, {connections:,} connections")
        out.append({"server": name, "connections": connections, "round": turn, "modes": _attempt(
            stage, name, lambda server: _gaps_of_ours(server, how, connections)
            if server.kind.ours else _gaps_of_peer(server, connections))})
    return out


def _gaps_of_ours(server, how, connections):
    out = {}
    for mode, events in [("steady", how.reloads), ("crash", how.kills), ("reload", how.reloads),
                         ("upgrade", how.reloads)]:
        [out[mode]] = load.run(server, [mode], connections=connections, rate=2000, every="400ms",
                               events=math.ceil(events / how.rounds))
    return out


def _gaps_of_peer(server, connections):
    """Runs each event twice: every client has to reconnect in between."""
    out = {}
    for mode in ("steady", "crash", "reload"):
        [out[mode]] = load.run(server, [mode], connections=connections, events=2, every="3s",
                               rate=2000)
    return out


# Evaluation of the rounds.

def value(entry, mode, figure):
    return entry["modes"].get(mode, {}).get(figure)


def figures(compared, name, mode, figure):
    """One of a server's figures in all rounds."""
    found = [value(entry, mode, figure) for entry in compared if entry["server"] == name]
    return [one for one in found if one is not None]


def median(values):
    return statistics.median(values) if values else None


def steady(values):
    """True if the rounds agree within AGREE, so that their median is meaningful."""
    return bool(values) and min(values) > 0 and max(values) <= AGREE * min(values)


def ratio(compared, name, ours, mode, figure):
    """The ratio of a server's median to ours. None if the rounds of either do not agree, because
    the ratio would be arbitrary."""
    theirs, base = figures(compared, name, mode, figure), figures(compared, ours, mode, figure)
    return median(theirs) / median(base) if steady(theirs) and steady(base) else None


def curve(compared, name, mode):
    """[(percentile, us)]: of the rounds' curves the median at each point."""
    curves = [dict(map(tuple, entry["modes"][mode]["latency_us"])) for entry in compared
              if entry["server"] == name and mode in entry["modes"]]
    return [(percentile, median([c[percentile] for c in curves if percentile in c]))
            for percentile in (curves[0] if curves else [])]


def gap(entries, server, connections, mode):
    """The effect on clients of a mode's events in all rounds, or None if there were none."""
    results = [entry["modes"][mode] for entry in entries if entry["server"] == server and
               entry["connections"] == connections and mode in entry["modes"]]
    events = [event for result in results for event in result["events"]]
    waits = [event["gap_ms"] for event in events if event["gap_ms"] is not None]
    undisturbed = [event["gap_ms"] for event in events if event["gap_ms"] is not None and
                   event.get("stall_ms") is not None and event["stall_ms"] <= UNDISTURBED_MS]
    backs = [event["back_ms"] for event in events if event["back_ms"] is not None]
    return {"times": len(events), "median_ms": median(waits), "worst_ms": max(waits, default=None),
            "undisturbed": len(undisturbed), "undisturbed_median_ms": median(undisturbed),
            "undisturbed_worst_ms": max(undisturbed, default=None),
            "back_ms": max(backs, default=None), "closed": sum(event["closed"] for event in events),
            "lost": int(sum(result["lost"] for result in results))} if events else None


def gap_growth(entries, server, mode, few, many):
    """How many times the undisturbed wait with few connections that with many is: of the medians."""
    found = [(gap(entries, server, size, mode) or {}).get("undisturbed_median_ms")
             for size in (few, many)]
    return found[1] / found[0] if all(found) else None
