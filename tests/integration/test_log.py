"""The log: the fields of its lines, and that clients cannot flood it."""

import os
import re
import signal

import pytest

from harness.client import SUB, SUBBED
from harness.process import alive
from harness.wait import wait_for


def logged(server, event):
    """The lines of an event, each as a dictionary of its bare values."""
    lines = re.findall(rf"event={event}\b(.*)", server.log())
    return [dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)) for line in lines]


def wait_logged(server, event, count=1):
    return wait_for(lambda: found if len(found := logged(server, event)) >= count else None,
                    f"{count} × {event} in the log")


# started

def test_started_names_what_an_operator_asks_first(make_server, own_redis):
    redis = own_redis(password="se-cret").start()
    server = make_server(redis_server=redis)
    (started,) = logged(server, "started")
    assert started["file"] == str(server.conf_path)
    assert started["listen"] == server.config["listen"][0]
    assert started["admin"] == server.config["admin"]
    assert started["redis"] == f"redis://127.0.0.1:{redis.port}/0"
    assert started["workers"] == "2"
    assert started["build"].startswith(started["version"])
    assert "se-cret" not in server.log()


# Journald

def test_the_journal_gets_priorities(make_server):
    """stderr is the log file, and JOURNAL_STREAM names it."""
    server = make_server(start=False)
    server.expect_log(r"^<[3467]>time=")
    file = os.stat(server.log_path)
    server.launch(env={"JOURNAL_STREAM": f"{file.st_dev}:{file.st_ino}"})
    wait_logged(server, "worker_started", 2)
    wait_for(lambda: server.admin.ready(), "the server")
    os.kill(server.admin.workers()[0]["pid"], signal.SIGKILL)
    wait_logged(server, "took_over")
    server.stop()
    assert re.search(r"^<6>time=\S+ level=info from=master event=started ", server.log(), re.M)
    assert re.search(r"^<4>time=\S+ level=warn from=master event=worker_died ", server.log(), re.M)
    assert all(re.match(r"<[3467]>time=", line) for line in server.log().splitlines())


# Limits

def test_pushes_above_max_push_are_logged_ten_a_second(make_server):
    """As docs/operations.md says of push_malformed; too large for the stream, too."""
    server = make_server(workers=1, max_push=1024)
    server.client("u")    # else nobody subscribes
    for _ in range(2):
        pipeline = server.redis.client.pipeline(transaction=False)
        for number in range(500):
            pipeline.publish(server.channel("all"), b"x" * (2000 if number % 2 else 70000))
        pipeline.execute()
    wait_for(lambda: server.admin.counter("push_malformed_total", reason="too_large") == 1000,
             "all to be counted")
    lines = logged(server, "push_malformed")
    assert 1 <= len(lines) <= 60, f"{len(lines)} lines for 1,000 pushes"
    assert {line["reason"] for line in lines} == {"too_large"}
    assert lines[0]["max_push"] == "1024"
    assert sum(int(line["suppressed"]) for line in lines) + len(lines) <= 1000
    assert server.channel("all") in {line["channel"] for line in lines}


def test_stop_timeout_is_logged_once(make_server, tmp_path):
    """One worker does not end, and what would kill it does nothing: strace(1) skips the call."""
    server = make_server(start=False, drain_timeout=0)
    server.expect_log("stop_timeout")
    leaks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"    # which needs ptrace(2) itself
    server.launch(env={"ASAN_OPTIONS": leaks}, command=["strace", "-o", str(tmp_path / "trace"), "-e", "trace=kill",
                           "-e", "inject=kill:retval=0", str(server.binary)])
    wait_for(server.admin.ready, "the server")
    pids = [worker["pid"] for worker in server.admin.workers()]
    master = _parent(pids[0])     # of strace's child: server.pid is strace's
    os.kill(pids[0], signal.SIGSTOP)
    os.kill(master, signal.SIGTERM)
    wait_for(lambda: (tmp_path / "trace").read_text().count("SIGKILL") > 10,
             "the master to have tried it more than once")
    os.kill(pids[0], signal.SIGKILL)
    wait_for(lambda: not alive(master), "the master to end")
    server.process.wait()
    server.ended = True
    assert len(logged(server, "stop_timeout")) == 1


def _parent(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^PPid:\t(\d+)", file.read(), re.M)[1])


# Debug: connections and pushes

@pytest.mark.parametrize("mode", ["binary", "json"])
def test_opens_and_closes_name_user_and_connection(make_server, mode):
    server = make_server(log_level="debug")
    fair, kicked = server.client("u 1", mode), server.client("u2", mode)
    (first, second) = wait_logged(server, "opened", 2)
    assert (first["user"], first["mode"], first["conn"]) == ('"u 1"', mode, fair.hello["conn"])
    assert first["address"].startswith("127.0.0.1:")
    assert second["conn"] == kicked.hello["conn"]
    fair.send_close(1000)
    server.publish("ctl", {"kick": "u2"})
    lines = wait_logged(server, "closed", 2)
    assert {(line["user"], line["conn"], line["reason"], line["code"]) for line in lines} == {
        ('"u 1"', fair.hello["conn"], "peer", "1000"),
        ("u2", kicked.hello["conn"], "kicked", "4001")}


def test_each_push_has_an_outcome(make_server):
    """One line for the push, and one for each connection, joined by the push's place."""
    server = make_server(log_level="debug", workers=2, topics=["*"])
    clients = [server.client("u"), server.client("u", "json")]
    clients[0].send_message(SUB, b'{"topics":["room"]}')
    assert clients[0].recv_message().op == SUBBED
    server.push("u", 113, text="x")
    for client in clients:
        client.recv_message()
    (push,) = [line for line in wait_logged(server, "push") if line["op"] == "113"]
    outcomes = wait_logged(server, "delivery", 2)
    assert {line["conn"] for line in outcomes} == {client.hello["conn"] for client in clients}
    for line in outcomes:
        assert (line["user"], line["outcome"]) == ("u", "delivered")
        assert (line["source"], line["position"]) == (push["source"], push["position"])
    server.publish("topic:room", {"op": 114})
    clients[0].recv_message()
    assert wait_logged(server, "delivery", 3)[2]["conn"] == clients[0].hello["conn"]


def test_queued_and_dropped_pushes_say_so(make_server):
    server = make_server(log_level="debug", workers=1, queue_limit=65536)
    slow = server.client("slow", receive_buffer=4096)
    for _ in range(40):
        server.push("slow", 110, text="x" * 20000)
    closed = wait_logged(server, "closed")[0]
    assert (closed["conn"], closed["reason"]) == (slow.hello["conn"], "slow")
    outcomes = {line["outcome"] for line in logged(server, "delivery")}
    assert "queued" in outcomes
    dropped = logged(server, "dropped")
    assert sum(int(line["pushes"]) for line in dropped if line["reason"] == "slow") == \
        server.admin.counter("pushes_dropped_total", reason="slow")


def test_nothing_of_this_at_info(make_server):
    server = make_server()
    server.client("u")
    server.push("u", 110, text="x")
    assert not [event for event in ("opened", "push", "delivery") if logged(server, event)]
