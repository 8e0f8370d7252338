"""/api/history: a sample every ten seconds, which survives every worker and is available from any worker."""

import time

from harness.inspect import inspect
from harness.wait import SLACK, wait_for
from test_rehome import reload
from test_upgrade import installed, upgrade  # noqa: F401 (a fixture)

EVERY_MS = 10000
SHOWN_AS = {"pushes_received": "pushes_received_total", "pushes_delivered": "pushes_delivered_total"}
FIELDS = {"at_ms", "connections", "pushes_received", "pushes_delivered", "pushes_dropped", "cpu_ms",
          "resident_memory_bytes", "latency"}


def history(server):
    response = server.admin.get("/api/history")
    assert (response.status, response.header("Content-Type")) == (200, "application/json")
    return response.json()


def samples(server):
    """None between two workers."""
    try:
        return history(server)["samples"]
    except (OSError, AssertionError):
        return None


def next_sample(server, before):
    """The first sample after those that there were: within ten seconds and a little."""
    return wait_for(lambda: len(samples(server) or []) > len(before) and samples(server),
                    "one more sample")


def test_the_first_sample_comes_at_the_start(server):
    wait_for(lambda: samples(server), "the first sample")
    answer = history(server)
    assert answer.keys() == {"now_ms", "every_ms", "latency_le_us", "samples"}
    assert answer["every_ms"] == EVERY_MS and abs(answer["now_ms"] / 1000 - time.time()) < 5
    sample, stats = answer["samples"][-1], server.admin.stats()
    assert sample.keys() == FIELDS
    assert all(type(value) is int for name, value in sample.items() if name != "latency")
    buckets = stats["push_latency"]["buckets"]
    assert answer["latency_le_us"] == [bucket["le_us"] for bucket in buckets[:-1]]
    assert len(sample["latency"]) == len(buckets)
    assert stats["process"]["started_ms"] <= sample["at_ms"] + 1 <= answer["now_ms"] + 1
    assert 0 < sample["resident_memory_bytes"] and sample["cpu_ms"] <= stats["process"]["cpu_ms"]


def test_every_worker_shows_the_same(make_server):
    server = make_server(workers=3)
    wait_for(lambda: samples(server), "the first sample")
    answers = [samples(server) for _ in range(12)]  # from any worker that accepts
    shared = min(len(answer) for answer in answers)
    for number in range(shared):
        assert all(abs(answer[number]["at_ms"] - answers[0][number]["at_ms"]) <= 2 for answer in answers)
        assert len({str({**answer[number], "at_ms": 0}) for answer in answers}) == 1


def test_it_goes_on_through_deaths_reloads_and_upgrades(installed, user):
    """Slot 0's worker writes it: killed, replaced with more workers around it, and by another program."""
    server = installed(workers=1)
    client = server.client(user)
    before = wait_for(lambda: samples(server), "the first sample")
    for number in range(20):
        server.push(user, 110, data=number)
        assert client.recv_message().json() == number
    server.kill_worker(server.admin.workers()[0])
    reload(server, workers=3)
    upgrade(server)
    for number in range(20):
        server.push(user, 110, data=number)
        assert client.recv_message().json() == number
    before = before + (samples(server) or [])[len(before):]
    after = next_sample(server, before)
    for old, new in zip(before, after):
        assert abs(old.pop("at_ms") - new["at_ms"]) <= 2
        assert old == {name: new[name] for name in old}, "written samples do not change"
    first, last, stats = after[0], after[-1], server.admin.stats()
    assert first["pushes_received"] == 0 and first["latency"][-1] == 0
    assert last["connections"] == 1 and last["cpu_ms"] >= first["cpu_ms"]
    for name, counter in SHOWN_AS.items():
        assert last[name] == stats["counters"][counter] == 40
    assert last["latency"] == [bucket["count"] for bucket in stats["push_latency"]["buckets"]]
    gap_ms = last["at_ms"] - after[-2]["at_ms"]
    assert gap_ms <= EVERY_MS + 5000 * SLACK, "the successors continue from there"
    assert inspect(server)["faults"] == []


def test_it_only_reads(server):
    wait_for(lambda: samples(server), "the first sample")
    assert server.admin.get("/api/history", method="POST", body=b"{}").status == 405
    assert server.admin.get("/api/history/").status == 404
