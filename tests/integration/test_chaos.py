"""All failures at once: thousands of clients, and workers that are killed, stopped, replaced, cut off.

At the end the books must balance (harness/chaos.py): every push that was published while its user was
connected has arrived, in order; only clients counted as dirty were closed; nothing leaks; the counters
add up. `make soak` runs the same for longer:

    CHAOS_SECONDS, CHAOS_CLIENTS, CHAOS_SEED, CHAOS_KILLS
"""

import os
import random
import resource
import signal
from collections import Counter

import pytest

from harness import admin
from harness.build import built, install
from harness.chaos import MOST_WORKERS, REQUEST, STREAM, Chaos
from harness.inspect import inspect
from harness.process import age, alive, descriptors, memory, open_kinds
from harness.server import opcode
from harness.wait import SANITIZED, SLACK, WSPUSHD, sanitizer_options, wait_for

SECONDS = int(os.environ.get("CHAOS_SECONDS", 12 if SANITIZED else 25))
CLIENTS = int(os.environ.get("CHAOS_CLIENTS", 300 if SANITIZED else 2000))
SEED = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
KILLS = int(os.environ.get("CHAOS_KILLS", 50 if SANITIZED else 100))
WORKERS = 3
YOUNG_S = 0.13
"""A worker that dies younger is replaced later each time (master/supervise.c)."""

BOTCHED = "supervisor fault:segv"
"""Where a bad version fails: its workers run already."""

RECLAIM_S = 30
"""Time within which the audit closes the unrecorded descriptors of a dead worker, in seconds."""


@pytest.fixture
def node(make_server, own_redis, monkeypatch, tmp_path):
    """A server whose workers may die, with a private Redis and a copy of the binary that upgrades replace."""
    sanitizer_options(monkeypatch, "handle_segv=0") # the signal is ours, not a bug
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    def make(**config):
        server = make_server(start=False, redis_server=own_redis().start(), topics=["*"], heartbeat=300,
                             opcodes=[opcode(REQUEST, name="ask", to="stream:" + STREAM)], **config)
        server.expect_log(r"worker|died|killed|signal|upgrade_refused|rolled_back|upgrade_fails")
        server.expect_log(r"^\S+/push\.conf: ok$|^can take over")
        server.binary = tmp_path / "wspushd"
        install(server)
        server.workers_may_change = True
        return server.start(env={"WSPUSHD_FAULT": BOTCHED})
    return make


def whole(server):
    """Every worker lives, and its link is up."""
    try:
        workers = server.admin.workers()
        return all(w["pid"] and alive(w["pid"]) and w["link"] == "up" for w in workers) and \
            len(server.worker_pids()) == len(workers) and server.admin.ready()
    except (OSError, AssertionError):
        return False


def subscriptions(server):
    prefix = server.config["prefix"]
    return {name.decode()[len(prefix):] for name in
            server.redis.client.pubsub_channels(prefix + "*")}


def is_wanted(name):
    return name != "ctl" and not name.startswith(("probe:", "report:"))


def give_up_strays(server, channels):
    """A user who leaves during a change of homes may leave a subscription behind, which ends with the
    next push on it (worker/move.c)."""
    for name in set(filter(is_wanted, subscriptions(server))) - channels:
        server.publish(name, b"\0\0\0\x6estray")


def check_leaks(server, spare, clients, channels):
    """Descriptors, records and subscriptions are those of the clients that there are.

    spare: descriptors of the server without a client, by what they are."""
    wait_for(lambda: server.admin.connections() == clients, f"{clients} connections")
    allowed = spare + Counter({"socket": clients})
    try:
        wait_for(lambda: descriptors(server.pid) <= allowed.total(), "as many as may be",
                 RECLAIM_S * SLACK)
    except AssertionError:
        found = open_kinds(server.pid)
        raise AssertionError(f"descriptors too many: {found - allowed}; gone: {allowed - found}; "
                             f"records: {inspect(server)}") from None
    wait_for(lambda: set(filter(is_wanted, subscriptions(server))) == channels,
             "the right subscriptions", 10 * SLACK)
    seen = inspect(server)
    assert seen["faults"] == [], seen
    assert seen["open"] == clients and seen["handshake"] == seen["moving"] == 0, seen
    assert seen["in_bytes"] == seen["ring_bytes"] == 0, seen


def counted(server):
    metrics = server.admin.metrics()
    return {name: metrics.total(name) for name in
            (admin.RECEIVED, admin.ROUTED, admin.MALFORMED, admin.DELIVERED, admin.DROPPED,
             admin.CLOSED, "connections_opened_total")}, metrics


def check_counters(chaos, server):
    """After the chaos, the counters match the test's actions exactly."""
    before, _ = counted(server)
    chaos.calm()
    wait_for(lambda: counted(server)[0][admin.DELIVERED] - before[admin.DELIVERED] ==
             3 * len(chaos.open), "three deliveries for each client")
    after, _ = counted(server)
    moved = {name: after[name] - before[name] for name in after}
    pushes = len(chaos.open) + len(chaos.topics) + 1
    assert moved[admin.RECEIVED] == moved[admin.ROUTED] == pushes, moved
    assert moved[admin.DROPPED] <= len(chaos.topics) - len({p.topic for p in chaos.open}), moved
    assert moved[admin.CLOSED] == moved["connections_opened_total"] == 0, moved


def resize(chaos, workers):
    """So many workers, and all of them well."""
    server = chaos.server

    def settled():
        return whole(server) and len(server.worker_pids()) == workers

    wait_for(lambda: whole(server), "the node to be whole", 30 * SLACK)
    while not settled(): # one that comes while workers are replaced may be refused
        chaos.resize(workers)
        wait_for(lambda: whole(server), "the node to be whole", 30 * SLACK)


def test_books_balance_after_chaos(node):
    server = node(workers=WORKERS, watchdog=2, max_connections=3 * CLIENTS)
    chaos = Chaos(server, programs=[WSPUSHD, built("wspushd-faults")], clients=CLIENTS, seed=SEED,
                  pushes=600, churn=CLIENTS / 40, requests=60, every=0.7 * SLACK,
                  tell=lambda text: print(text, flush=True))
    print(f"\nseed {SEED}  clients {CLIENTS}  seconds {SECONDS}", flush=True)
    resize(chaos, MOST_WORKERS) # what a slot has, it keeps
    resize(chaos, WORKERS)
    spare = open_kinds(server.pid)
    chaos.until(chaos.everybody, "everybody to be connected", 60 * SLACK)
    chaos.run(SECONDS)
    resize(chaos, WORKERS)
    chaos.calm()
    chaos.requests_are_answered()
    check_counters(chaos, server)
    chaos.close_books()
    entries = chaos.check_stream()
    counters, metrics = counted(server)
    by_reason = metrics.by_label(admin.CLOSED, "reason")
    deaths = chaos.deaths()
    print_table(chaos, entries, by_reason, counters)
    assert chaos.faults == [], f"seed {SEED}: " + "\n".join(chaos.faults[:40])
    assert chaos.doubled == 0, f"seed {SEED}: {chaos.doubled} pushes arrived twice"
    assert chaos.closed_by_server <= by_reason["dirty"], \
        f"seed {SEED}: {chaos.closed_by_server} closed, {by_reason['dirty']} counted"
    assert by_reason["dirty"] <= deaths * 40, f"seed {SEED}: too many closed as dirty"
    assert not any(by_reason[reason] for reason in ("slow", "heartbeat", "protocol", "kicked")), \
        f"seed {SEED}: {by_reason}"
    opened = counters["connections_opened_total"]
    assert abs(opened - counters[admin.CLOSED] - len(chaos.open)) <= deaths, f"seed {SEED}"
    assert counters[admin.RECEIVED] == counters[admin.ROUTED] + counters[admin.MALFORMED]
    assert counters[admin.MALFORMED] == 0
    channels = {"user:" + p.user for p in chaos.open} | {p.topic for p in chaos.open} | {"all", "users"}
    if any(event.name == "workers" and event.count for event in chaos.events):
        give_up_strays(server, channels)
    check_leaks(server, spare, len(chaos.open), channels)


def print_table(chaos, entries, by_reason, counters):
    rows = [
        *((event.name, event.count) for event in chaos.events),
        ("upgrades taken back", chaos.server.log().count("event=rolled_back")),
        ("clients that came", chaos.came), ("clients that left", chaos.left),
        ("handshakes that failed", chaos.turned_away),
        ("closed by the server", chaos.closed_by_server),
        ("counted as dirty", int(by_reason["dirty"])),
        ("pushes published", sum(c.next for c in chaos.ledger.channels.values())),
        ("pushes received by clients", chaos.received), ("of them a second time", chaos.doubled),
        ("deliveries counted", int(counters[admin.DELIVERED])),
        ("GAPs", chaos.gaps),
        ("requests", chaos.asked), ("in the stream", entries),
        ("ACCEPTED", len(chaos.seen_accepted)), ("without an answer", chaos.unanswered),
        ("faults", len(chaos.faults)),
    ]
    for name, value in rows:
        print(f"  {name:28} {value:>10}")


@pytest.mark.timeout(KILLS * 2 + 120 * SLACK)
def test_kills_leak_nothing(node):
    """Each worker in turn, as soon as it has lived long enough to be replaced at once."""
    server = node(workers=4)
    clients = [server.client(f"u{n}") for n in range(40)]
    channels = {"user:" + f"u{n}" for n in range(40)} | {"all", "users"}
    kill_in_turn(server, 8)
    inspect(server)
    wait_for(lambda: whole(server), "the node to be whole")
    spare = open_kinds(server.pid) - Counter({"socket": 40})
    before = memory([server.pid, *server.worker_pids()])
    kill_in_turn(server, KILLS)
    wait_for(lambda: whole(server), "the node to be whole")
    assert sum(w["restarts"] for w in server.admin.workers()) >= KILLS
    check_leaks(server, spare, 40, channels)
    after = memory([server.pid, *server.worker_pids()])
    assert after < before + (4 << 20), f"{before} bytes have grown to {after}"
    for number, client in enumerate(clients):
        assert server.push(f"u{number}", 110, data=number) == 1
        assert client.recv_message().json() == number, "no GAP, and no push lost"


def kill_in_turn(server, kills):
    dead = set()
    for _ in range(kills):
        victim = wait_for(lambda: next((pid for pid in server.worker_pids() if pid not in dead and
                                        age(pid) > YOUNG_S), None), "a worker that has lived")
        os.kill(victim, signal.SIGKILL)
        dead.add(victim)
