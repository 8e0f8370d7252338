"""The metrics of the node and its processes, beyond the counters of test_admin.py; and that the alert
rules and the dashboard in scripts/ use only metrics that exist."""

import json
import os
import re
import resource
import subprocess
import time
from signal import SIGCONT, SIGHUP, SIGKILL

import pytest

from harness import admin
from harness.client import SUB, SUBBED
from harness.process import alive, descriptors, die_with_us
from harness.server import opcode
from harness.wait import ROOT, SLACK, wait_for
from test_last_words import doomed  # noqa: F401
from test_poison import stopped

RULES = ROOT / "scripts/prometheus/wspushd.rules.yml"
DASHBOARD = ROOT / "scripts/grafana/wspushd.json"


def value(server, name, **labels):
    return server.admin.counter(name, **labels)


def absolute(server, name):
    """A sample whose name has no prefix of ours."""
    return server.admin.metrics().samples[name, ()]


def settles(server, check, what):
    """Waits through a reload, which ends connections of admin clients."""
    def checked():
        try:
            return check()
        except (OSError, AssertionError):
            return None

    server.workers_may_change = True
    wait_for(checked, what)


# The node

def test_gauges_of_the_node(make_server):
    server = make_server(workers=3, max_connections=500)
    assert value(server, "workers") == 3
    assert value(server, "ready") == 1
    assert value(server, "capacity_connections") == 500
    stats = server.admin.stats()
    assert stats["capacity"] == 500
    assert abs(absolute(server, "process_start_time_seconds") * 1000
               - stats["process"]["started_ms"]) < 1


def test_not_ready_without_redis(make_server, own_redis):
    redis = own_redis().start()
    server = make_server(redis_server=redis)
    redis.stop()
    wait_for(lambda: value(server, "ready") == 0, "wspushd_ready to be 0")
    assert server.admin.status("/readyz") == 503


def test_deaths_of_workers_are_a_counter(mortal):
    server = mortal(workers=2)
    server.kill_worker(server.admin.workers()[1])
    metrics = server.admin.metrics()
    assert metrics.types["wspushd_worker_restarts_total"] == "counter"
    assert metrics.total("worker_restarts_total") == 1
    assert server.admin.stats()["counters"]["worker_restarts_total"] == 1


def test_the_last_reload(make_server):
    server = make_server()
    assert value(server, "last_reload_successful") == 1
    started = absolute(server, "process_start_time_seconds")
    assert value(server, "last_reload_timestamp_seconds") == started
    server.expect_log("reload_refused")
    server.config["heartbeat"] = 0
    server.rewrite()
    server.signal(SIGHUP)
    wait_for(lambda: value(server, "last_reload_successful") == 0, "the reload to be refused")
    assert value(server, "last_reload_timestamp_seconds") > started
    server.config["heartbeat"] = 25
    server.rewrite()
    server.signal(SIGHUP)
    settles(server, lambda: value(server, "last_reload_successful") == 1, "the reload to be done")
    assert value(server, "last_upgrade_successful") == 1


def test_the_capacity_is_what_is_let_in(make_server):
    """No more than the limit on open files allows, even if max_connections is higher."""
    def fewer_descriptors():
        die_with_us()
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500))

    server = make_server(start=False, workers=1, max_connections=5000)
    server.start(preexec_fn=fewer_descriptors)
    capacity = int(value(server, "capacity_connections"))
    assert 100 < capacity < 500
    assert f"capacity={capacity} " in server.log()
    clients = [server.client(f"u{number}") for number in range(capacity)]
    assert value(server, "connections") == capacity
    refused = server.raw()
    refused.send_upgrade("one-more")
    assert refused.recv_response().status == 503
    assert len(clients) == capacity


# Requests

def test_requests_are_counted_by_opcode(make_server):
    server = make_server(opcodes=[opcode(110, to="echo"), opcode(111, to="drop")])
    client = server.client("u")
    for op, count in ((110, 3), (111, 2), (2, 1), (112, 4), (99, 1)):
        for _ in range(count):
            client.send_message(op, b"{}")
    wait_for(lambda: value(server, "requests_total") == 11, "all to be counted")
    by_op = server.admin.metrics().by_label("requests_total", "op")
    assert {op: count for op, count in by_op.items() if count} == {
        "110": 3, "111": 2, "2": 1, "other": 5}
    assert set(by_op) >= {"110", "111"} and "112" not in by_op
    assert server.admin.stats()["requests"]["110"] == 3


def test_requests_survive_a_death_and_a_reload(mortal):
    server = mortal(workers=2, opcodes=[opcode(110, to="echo")])
    clients = [server.client(f"u{number}") for number in range(8)]
    for client in clients:
        client.send_message(110, b"{}")
        client.recv_message()
    server.kill_workers()
    for client in clients:
        client.send_message(110, b"{}")
        client.recv_message()
    assert value(server, "requests_total", op="110") == 16
    server.opcodes = []
    server.rewrite()
    server.signal(SIGHUP)
    settles(server, lambda: "110" not in server.admin.metrics().by_label("requests_total", "op"),
            "the opcode to be gone")
    settles(server, lambda: server.admin.stats()["reload"]["under_way"] is False, "the reload to end")
    assert value(server, "requests_total", op="other") == 16


# Processes

def test_cpu_time_never_goes_back(mortal):
    server = mortal(workers=2)
    last = 0
    for number in range(4):
        for _ in range(300):
            server.admin.status("/metrics")
        now = absolute(server, "process_cpu_seconds_total")
        assert now >= last
        last = now
        workers = server.admin.metrics().by_label("worker_cpu_seconds_total", "worker")
        assert set(workers) == {"0", "1"}
        assert sum(workers.values()) <= now + 0.05
        server.kill_worker(server.admin.workers()[number % 2])
        assert absolute(server, "process_cpu_seconds_total") >= last
    assert last > 0


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Pss: +(\d+)", file.read(), re.M)[1]) * 1024


def test_memory_is_about_what_the_kernel_shares_out(make_server):
    """PSS leaves out the parts of files that other programs have mapped, too: that is the slack. A
    program with sanitizers is a larger file."""
    server = make_server(workers=2)
    clients = [server.client(f"u{number}") for number in range(200)]
    shown = absolute(server, "process_resident_memory_bytes")
    shared_out = sum(pss(pid) for pid in [server.pid, *server.worker_pids()])
    assert shared_out * 0.5 < shown < shared_out + (16 << 20) * SLACK
    own = server.admin.metrics().by_label("worker_resident_memory_bytes", "worker")
    assert sum(own.values()) < shown
    assert len(clients) == 200


def test_descriptors(server, user):
    before = absolute(server, "process_open_fds")
    clients = [server.client(f"{user}.{number}") for number in range(20)]
    wait_for(lambda: absolute(server, "process_open_fds") >= before + 20, "20 more descriptors")
    assert abs(absolute(server, "process_open_fds") - descriptors(server.pid)) <= 5
    assert absolute(server, "process_max_fds") == int(
        re.search(r"Max open files +(\d+)", open(f"/proc/{server.pid}/limits").read())[1])
    assert len(clients) == 20


# Latency

def latency(server):
    """{upper bound: cumulative count}, count, sum."""
    samples = server.admin.metrics().samples
    family = "wspushd_push_latency_seconds"
    buckets = {dict(labels)["le"]: count for (name, labels), count in samples.items()
               if name == family + "_bucket"}
    return buckets, samples[family + "_count", ()], samples[family + "_sum", ()]


def test_each_delivery_has_a_latency(make_server):
    """To users, whose home reads from Redis; and to a topic and to all, through rings."""
    server = make_server(workers=4, topics=["*"])
    clients = [server.client(f"u{number}") for number in range(8)]
    for client in clients:
        client.send_message(SUB, b'{"topics":["room"]}')
        assert client.recv_message().op == SUBBED
    for number in range(8):
        server.push(f"u{number}", 110, data=1)
    server.publish("topic:room", {"op": 111})
    server.publish("all", {"op": 112})
    for client in clients:
        assert sorted(client.recv_message().op for _ in range(3)) == [110, 111, 112]
    wait_for(lambda: latency(server)[1] == 24, "24 deliveries in the histogram")
    buckets, count, total = latency(server)
    assert value(server, "pushes_delivered_total") == 24
    assert buckets["+Inf"] == count
    assert list(buckets.values()) == sorted(buckets.values())
    assert 0 < total < 24, "seconds"
    # Each is at most the bound of its bucket, and more than the bound before.
    bounds = [0.0, *map(float, list(buckets)[:-1])]
    each = [after - before for before, after in zip([0, *buckets.values()], buckets.values())]
    assert total >= sum(low * n for low, n in zip(bounds, each)) - 1e-6
    told = server.admin.stats()["push_latency"]
    assert (told["count"], told["buckets"][-1]) == (24, {"count": 24})
    assert [bucket["le_us"] / 1e6 for bucket in told["buckets"][:-1]] == bounds[1:]


def test_a_large_push_is_slower_than_a_small_one(make_server):
    """To 400 connections at once: the flush takes its time, and all its pushes have that."""
    server = make_server(workers=1)
    clients = [server.client(f"u{number}") for number in range(400)]
    server.publish("all", {"op": 110, "text": "x" * 30000})
    for client in clients:
        client.recv_message()
    wait_for(lambda: latency(server)[1] == 400, "400 deliveries")
    buckets, _, total = latency(server)
    assert buckets["0.0005"] == 0, "400 × 30 KB in half a millisecond"
    assert total > 400 * 0.0005


def test_a_death_is_in_the_latency(doomed):  # noqa: F811
    """The push stops each worker that has it in hand. The first dies; its successor delivers what the
    dead one has read from Redis, and counts from then."""
    server = doomed(watchdog=60)
    client = server.client("u")
    server.publish("user:u", b"\0\0\0\x6efault:stop")
    first = wait_for(lambda: [pid for pid in server.worker_pids() if stopped(pid)], "the stop")[0]
    begin = time.monotonic()
    os.kill(first, SIGKILL)
    wait_for(lambda: not alive(first), "its death")
    second = wait_for(lambda: [pid for pid in server.worker_pids() if stopped(pid)], "the stop")[0]
    spent = time.monotonic() - begin
    os.kill(second, SIGCONT)
    assert client.recv_message().payload == b"fault:stop"
    wait_for(lambda: latency(server)[1] == 1, "the delivery to be counted")
    assert spent < latency(server)[2] < spent + 20


# Prometheus's own reading

def promtool(*arguments, text=None):
    done = subprocess.run(["promtool", *map(str, arguments)], input=text, capture_output=True,
                          text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong(server, user):
    client = server.client(user)
    server.push(user, 110, data=1)
    client.recv_message()
    text = server.admin.get("/metrics").body.decode()
    assert promtool("check", "metrics", text=text) == (0, "")


def test_promtool_takes_the_rules():
    status, said = promtool("check", "rules", RULES)
    assert status == 0, said
    assert re.search(r"SUCCESS: \d+ rules found", said)


def test_the_alerts_fire():
    """The unit tests of the rules, which give series and say which alerts must be there."""
    status, said = promtool("test", "rules", ROOT / "tests/integration/rules.tests.yml")
    assert status == 0, said


_METRIC = re.compile(r"\b((?:wspushd|process)_[a-z_]+)\b")


def dashboard_queries():
    def walk(panels):
        for panel in panels:
            yield from (target["expr"] for target in panel.get("targets", []))
            yield from walk(panel.get("panels", []))

    board = json.loads(DASHBOARD.read_text())
    return [*walk(board["panels"]), *(note["expr"] for note in board["annotations"]["list"]),
            *(variable["query"] for variable in board["templating"]["list"]
              if variable["type"] == "query")]


@pytest.mark.parametrize("source", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_only_metrics_that_exist_are_asked_for(server, source):
    texts = dashboard_queries() if source == DASHBOARD else [
        line for line in RULES.read_text().splitlines() if not line.lstrip().startswith("#")]
    asked = set(_METRIC.findall("\n".join(texts)))
    assert len(asked) > 8
    metrics = server.admin.metrics()
    known = set(metrics.types)
    for name, kind in metrics.types.items():
        if kind == "histogram":
            known |= {name + suffix for suffix in ("_bucket", "_sum", "_count")}
    assert asked <= known, f"not in /metrics: {asked - known}"


def test_the_dashboard_s_queries_are_promql(tmp_path):
    """promtool reads them as the expressions of rules; Grafana's variables are filled in before."""
    rules = [{"record": f"query:{number}",
              "expr": query.replace("$__rate_interval", "1m")}
             for number, query in enumerate(dashboard_queries())
             if not query.startswith("label_values(")]
    assert len(rules) > 10
    rules_file = tmp_path / "dashboard.yml"
    rules_file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    status, said = promtool("check", "rules", rules_file)
    assert status == 0, said
