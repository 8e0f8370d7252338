"""scripts/bench.sh --check: checks that every peer delivers pushes correctly.

A peer that loses pushes, sends them to other users, or bypasses Redis would look fast. So each peer
delivers numbered pushes to a few users, and every push must arrive once, in order, at its user.
"""

import load
from servers import KINDS

USERS = 20
ALONE = ["unicast", "burst", "churn"]
FIGURES = ("lost", "doubled", "late", "foreign")


def _commands(redis):
    """The number of commands that Redis has processed."""
    return redis.client.info("stats")["total_commands_processed"]


def _wrong_deliveries(results):
    for result in results:
        figures = {name: int(result[name]) for name in FIGURES if result.get(name)}
        if not result["good"] or not result["counts"]["deliveries"]:
            yield f"{result['mode']}: {figures or result['counts']}"


def _wrong_way(kind, published, commands):
    """Scripts and confirmations count as well; without Redis there is the look at the count itself."""
    if kind.redis and commands < published:
        yield f"{published} pushes did not go by Redis: {commands} commands"
    if not kind.redis and commands >= published:
        yield f"{published} pushes are not to go by Redis: {commands} commands"


def _wrong_return(results):
    for result in results:
        closed, back = (sum(event[name] for event in result["events"])
                        for name in ("closed", "returned"))
        if not result["events"] or not result["counts"]["deliveries"] or back < closed:
            yield f"{result['mode']}: of {closed} clients {back} came back"


def _wrong(server, redis):
    """The faults of a running server; empty if there are none."""
    kind, common = server.kind, {"connections": USERS, "seconds": "300ms", "warmup": "100ms"}
    before = _commands(redis)
    results = load.run(server, ALONE, rate=1000, **common)
    if kind.broadcasts:
        results += load.run(server.for_all, ["broadcast"], rate=100, **common)
    published = sum(result["counts"]["published"] for result in results)
    yield from _wrong_way(kind, published, _commands(redis) - before)
    yield from _wrong_deliveries(results)
    if kind.children:
        yield from _wrong_return(load.run(server, ["crash", "reload"], events=1, every="1s",
                                          rate=1000, **common))


def check(stage, redis, names):
    """Prints a line for each; returns those that failed."""
    failed = []
    for name in names:
        try:
            with stage.run(KINDS[name]) as server:
                wrong = list(_wrong(server, redis))
        except (RuntimeError, OSError) as error:
            wrong = [str(error)]
        print("FAILED " if wrong else "ok     ", name, *wrong, sep="  ", flush=True)
        failed += [name] if wrong else []
    return failed
