"""A worker dies while a connection is being handed to it, and its successor adopts the connection. Needs
`make killpoints`."""

import os
import signal

import pytest

from harness.frames import TEXT, frame
from harness.killpoints import BINARY, Killpoints
from harness.process import stat
from harness.wait import wait_for


@pytest.fixture
def points(tmp_path):
    return Killpoints(tmp_path / "points")


@pytest.fixture
def server(make_server, points):
    server = make_server(start=False, workers=2, topics=["*"])
    server.binary = BINARY
    server.expect_log("died")
    server.workers_may_change = True
    return server.start(env={"WSPUSHD_KILLPOINTS": str(points.path)})


def user_of(server, worker):
    return next(f"u{i}" for i in range(99) if server.home_of(f"user:u{i}") == worker)


def stop(worker):
    os.kill(worker["pid"], signal.SIGSTOP)
    wait_for(lambda: stat(worker["pid"])[0] == "T", "the worker to be stopped")


def push_into_ring(server, near):
    """A push to all, of which worker 1 has a copy to read when `near`, at worker 0, has got it."""
    server.publish("all", {"op": 110, "data": 1})
    assert near.recv_message().op == 110


@pytest.mark.parametrize("point", ["ADOPT_MARKED", "ADOPT_SETTLED", "ADOPT_WATCHED",
                                   "ADOPT_INDEXED", "ADOPT_ASKED"])
def test_a_push_that_comes_before_an_adoption_does_not_hide_it_from_the_successor(
        server, points, point):
    near = server.client(user_of(server, 0))
    other = server.admin.workers()[1]
    stop(other)
    push_into_ring(server, near)
    client = server.raw()
    client.send_upgrade(user_of(server, 1))
    wait_for(lambda: server.admin.counter("handed_over_total"), "the adoption in the ring")
    points.arm(point)
    os.kill(other["pid"], signal.SIGCONT)
    server.wait_replaced(other)
    client.expect_upgrade()
    while client.recv_message().op != 1:
        pass
    server.push(user_of(server, 1), 111, data=2)
    while client.recv_message().op != 111:
        pass


def test_a_push_to_a_new_connection_does_not_hide_that_half_its_message_is_lost(
        own_redis, mortal):
    redis = own_redis().start()
    server = mortal(workers=2, redis_server=redis)
    near = server.client(user_of(server, 0))
    other = server.admin.workers()[1]
    os.kill(redis.process.pid, signal.SIGSTOP)  # so that HELLO has to wait
    client = server.raw()
    client.send_upgrade(user_of(server, 1), mode="json")
    client.expect_upgrade()
    before = server.admin.counter("bytes_received_total")
    half = frame(TEXT, b'{"op":2,"text":"half', fin=False)
    client.send_bytes(half)
    wait_for(lambda: server.admin.counter("bytes_received_total") == before + len(half), "the half")
    stop(other)
    os.kill(redis.process.pid, signal.SIGCONT)
    push_into_ring(server, near)
    server.kill_worker(other)
    client.expect_close(1012)
