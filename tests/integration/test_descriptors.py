"""Descriptors: all processes of a server share one table of them. What a dead worker leaves open is
closed, what anybody uses is not; and the server keeps some for itself."""

import contextlib
import os
import signal

import pytest

from harness.killpoints import BINARY as KILLABLE
from harness.killpoints import Killpoints
from harness.net import open_socket
from harness.server import opcode, parse_address
from harness.wait import SLACK, TIMEOUT, wait_for

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
    assert len(left) <= VISITORS_MAX, "the dead worker's are closed at once"
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
