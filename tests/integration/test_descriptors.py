"""Descriptors: all processes of a server share one table. Descriptors that a dead worker leaves open are
closed, those in use are not; and the server keeps a reserve."""

import contextlib
import os
import re
import resource
import signal
import subprocess

import pytest

from harness import frames as ws

from harness.http import upgrade_head
from harness.killpoints import BINARY as KILLABLE
from harness.killpoints import Killpoints
from harness.net import open_socket
from harness.process import descriptors, die_with_us
from harness.server import opcode, parse_address
from harness.wait import SLACK, TIMEOUT, WSPUSHD, wait_for

VISITORS_MAX = 64
"""worker/visitors.h"""

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def visit():
    """visit(server) is a connection to its admin interface, kept open."""
    with contextlib.ExitStack() as stack:
        yield lambda server: stack.enter_context(
            contextlib.closing(open_socket(parse_address(server.config["admin"]), timeout=TIMEOUT)))


def ask(sock, request=GET):
    """The status of the answer on this connection, which stays open; 0: it has ended."""
    try:
        sock.sendall(request)
        answer = sock.recv(4096)
    except ConnectionError:
        return 0
    return int(answer.split()[1]) if answer else 0


def audits(server):
    return server.log().count("event=audited")


def wait_audited(server, before):
    wait_for(lambda: audits(server) > before, "an audit of the descriptors", 15 * SLACK)


# The audit.

def test_admin_connections_of_others_outlive_a_death(mortal, visit):
    """Those without a place in the slot were once taken for leaks, and closed under evhttp."""
    server = mortal(workers=2, log_level="debug")
    [_, victim] = server.admin.workers()
    there = [visit(server) for _ in range(200)]
    statuses = [ask(sock) for sock in there]
    assert set(statuses) <= {200, 503, 0}
    assert 1 <= statuses.count(200) <= 2 * VISITORS_MAX
    there = [sock for sock, status in zip(there, statuses) if status == 200]
    before = audits(server)
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for(lambda: "event=took_over" in server.log(), "the successor")
    left = [sock for sock in there if ask(sock) == 200]
    assert len(left) <= VISITORS_MAX, "the dead worker's descriptors are closed at once"
    wait_audited(server, before)
    assert [ask(sock) for sock in left] == [200] * len(left)
    assert "descriptor_reclaimed" not in server.log()
    assert "descriptor_unknown" not in server.log()


def test_audit_waits_for_a_worker_that_does_not_go_on(make_server, tmp_path):
    """A worker that is stopped between accept4(2) and its note has the descriptor still."""
    points = Killpoints(tmp_path / "points")
    server = make_server(start=False, workers=3, watchdog=60, log_level="debug", auth=["none"])
    server.binary = KILLABLE
    server.start(env={"WSPUSHD_KILLPOINTS": str(points.path)})
    server.expect_log("worker_died")
    server.workers_may_change = True
    auditor, slow, mortal_one = server.admin.workers()
    for other in (auditor, mortal_one):
        os.kill(other["pid"], signal.SIGSTOP)
    points.arm_stop("ACCEPTED")
    client = server.raw()
    client.send_upgrade("u")
    wait_for(lambda: stopped(slow["pid"]), "worker 1 to stop")
    os.kill(auditor["pid"], signal.SIGCONT)
    os.kill(mortal_one["pid"], signal.SIGKILL)
    wait_for(lambda: server.log().count(f"event=audit_waits worker={slow['slot']}") >= 3,
             "the audit to wait", 15 * SLACK)
    before = audits(server)
    os.kill(slow["pid"], signal.SIGCONT)
    client.expect_upgrade()
    client.expect_hello()
    wait_audited(server, before)
    assert "descriptor_reclaimed" not in server.log()
    assert server.push("u", 110, text="hi") == 1
    assert client.recv_message().bytes() == b"hi"


def stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


# The admin interface.

def test_admin_connections_have_a_limit(make_server, visit):
    server = make_server(workers=1)
    there = [visit(server) for _ in range(VISITORS_MAX)]
    assert [ask(sock) for sock in there] == [200] * VISITORS_MAX
    for _ in range(20):
        refused = visit(server)
        answer = refused.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Connection: close\r\n" in answer
        assert answer.endswith(b'{"error":"too many connections"}')
        assert refused.recv(4096) == b""
    assert [ask(sock) for sock in there] == [200] * VISITORS_MAX
    there.pop().close()
    wait_for(lambda: ask(visit(server)) == 200, "a free place")


def test_refused_admin_request_is_not_carried_out(make_server, visit):
    """Its bytes may be there before the worker looks: it is stopped meanwhile."""
    server = make_server(workers=1, watchdog=60)
    there = [visit(server) for _ in range(VISITORS_MAX)]
    assert [ask(sock) for sock in there] == [200] * VISITORS_MAX
    client = server.client("u")
    body = b'{"user":"u","op":110,"data":1}'
    request = (b"POST /api/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    [pid] = server.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    late = [visit(server) for _ in range(4)]
    for sock in late:
        sock.sendall(request)
    os.kill(pid, signal.SIGCONT)
    assert [int(sock.recv(4096).split()[1]) for sock in late] == [503] * 4
    server.push("u", 111, data=2)
    assert client.recv_message().op == 111


def test_admin_clients_take_no_place_of_a_link(make_server, own_redis, visit):
    redis = own_redis()
    redis.start()
    server = make_server(redis_server=redis, workers=1, opcodes=[opcode(110, to="list:queue")])
    there = [visit(server) for _ in range(120)]
    there = [sock for sock in there if ask(sock) == 200]
    client = server.client("u")
    server.expect_log("redis")
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    there += [sock for sock in (visit(server) for _ in range(3)) if ask(sock) == 200]

    def request_arrives():
        assert [ask(sock) for sock in there] == [200] * len(there)
        client.send_message(110, b"x")
        return redis.client.llen("queue")

    wait_for(request_arrives, "a request", 8 * SLACK)


# The limit on open files.

LIMIT = 600
CAPACITY = 296
"""Clients that it leaves room for, with two workers: common/budget.h."""


def low_limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    die_with_us()


@pytest.fixture
def small(make_server):
    """A server with few descriptors."""
    def make(**config):
        server = make_server(start=False, workers=2, **config)
        server.start(preexec_fn=low_limit)
        server.workers_may_change = True
        return server
    return make


def fill(server):
    """Connects clients until no more are let in; they are ready."""
    there = []
    while True:
        client = server.raw()
        client.send_upgrade(f"crowd{len(there)}")
        response = client.recv_response()
        if response.status != 101:
            assert response.status == 503 and response.json()["error"] == "full"
            client.close()
            return there
        client.expect_hello()
        there.append(client)


def test_limit_on_open_files_is_told_at_the_start(small):
    server = small()
    assert re.search(rf"event=descriptor_limit limit={LIMIT} max_connections=100000 "
                     rf"capacity={CAPACITY} ", server.log())
    assert re.search(rf"event=started .* capacity={CAPACITY} ", server.log())


def test_limit_on_open_files_is_told_by_the_trial_of_a_configuration(make_server):
    server = make_server(start=False)
    server.rewrite()
    done = subprocess.run([WSPUSHD, "-t", "-c", server.conf_path], preexec_fn=low_limit,
                          capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert done.stdout == f"{server.conf_path}: ok\n"
    assert f"max_connections = 100000: the limit on open files is {LIMIT} here" in done.stderr
    assert f"leaves room for {CAPACITY} clients" in done.stderr


def test_clients_leave_descriptors_to_the_server(small, visit, own_redis):
    redis = own_redis()
    redis.start()
    server = small(redis_server=redis, opcodes=[opcode(110, to="list:queue")])
    server.expect_log("redis|worker")
    there = fill(server)
    assert len(there) == CAPACITY
    silent = [open_socket(server.address) for _ in range(LIMIT)]
    assert ask(visit(server)) == 200
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_for(lambda: server.admin.counter("redis_connects_total") >= 4, "the links to come back")
    wait_for(lambda: server.admin.status("/readyz") == 200, "ready again", 15 * SLACK)
    server.kill_worker(server.admin.workers()[1])
    wait_for(lambda: server.admin.status("/readyz") == 200, "ready again", 15 * SLACK)
    for number in range(0, CAPACITY, 30):
        assert server.push(f"crowd{number}", 110, data=number) == 1
        messages = iter(there[number].recv_message, None)
        assert next(m for m in messages if m.op == 110).json() == number
    assert descriptors(server.pid) < LIMIT - 150, "more than half of the reserve is left"
    assert "event=accept_paused" not in server.log()
    for sock in silent:
        sock.close()


def test_clients_on_their_way_leave_descriptors_too(small, visit):
    """Connections between two workers are counted by neither."""
    server = small(watchdog=60, handshake_timeout=60)
    _, busy = server.admin.workers()
    os.kill(busy["pid"], signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as crowd:
            for number in range(LIMIT + 100):
                sock = crowd.enter_context(contextlib.closing(open_socket(server.address)))
                with contextlib.suppress(ConnectionError):
                    sock.sendall(upgrade_head(f"/ws?user=u{number}"))
            last = server.raw()
            last.offer_bytes(upgrade_head("/ws?user=last"))
            assert last.recv_response().status == 503
            assert descriptors(server.pid) <= LIMIT - 100
            assert ask(visit(server)) == 200
            assert "event=accept_paused" not in server.log()
    finally:
        os.kill(busy["pid"], signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_change_with_all_descriptors_in_use_closes_nobody(small, number):
    """The parcels of what has half come and half gone need descriptors."""
    server = small(heartbeat=3000)
    slow = [server.client(f"slow{n}", receive_buffer=4096) for n in range(20)]
    part = [server.client(f"part{n}") for n in range(20)]
    for n, client in enumerate(part):
        for _ in range(8):
            server.push(f"slow{n}", 110, text="x" * 30000)
        client.send_frame(ws.BINARY, b"\0\0\0\x02hel", fin=False)
    fill(server)
    before = server.worker_pids()
    server.signal(number)
    wait_for(lambda: re.search(r"event=changed .*outcome=done", server.log()), "the change",
             15 * SLACK)
    assert not set(before) & set(server.worker_pids())
    assert "parcel_failed" not in server.log()
    for client in part:
        client.send_frame(ws.CONTINUATION, b"lo")
        assert client.recv_message().payload == b"hello"
    for client in slow:
        assert [client.recv_message().op for _ in range(8)] == [110] * 8


@pytest.mark.parametrize("listener", ["listen", "admin"])
def test_listener_pauses_while_there_are_no_descriptors(make_server, listener):
    """libevent once wrote 1.3 million lines in three seconds."""
    server = make_server()
    address = server.address if listener == "listen" else parse_address(server.config["admin"])
    pids = server.worker_pids()
    before = [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids]
    lines = server.log().count("\n")
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (10, before[0][1]))
    with contextlib.closing(open_socket(address, timeout=TIMEOUT)) as sock:
        sock.sendall(GET)
        wait_for(lambda: server.log().count("event=accept_paused") >= 3, "pauses")
        assert server.log().count("\n") - lines < 20
        for pid, limits in zip(pids, before):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200" if listener == "admin" else b"HTTP/1.1 4")
