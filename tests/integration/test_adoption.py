"""A worker dies while a connection comes to it. Needs `make killpoints`."""

import os
import signal

import pytest

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


@pytest.mark.parametrize("point", ["ADOPT_MARKED", "ADOPT_SETTLED", "ADOPT_WATCHED",
                                   "ADOPT_INDEXED", "ADOPT_ASKED"])
def test_a_push_that_comes_before_an_adoption_does_not_hide_it_from_the_successor(
        server, points, point):
    near = server.client(user_of(server, 0))
    other = server.admin.workers()[1]
    os.kill(other["pid"], signal.SIGSTOP)
    wait_for(lambda: stat(other["pid"])[0] == "T", "the worker to be stopped")
    server.publish("all", {"op": 110, "data": 1})
    assert near.recv_message().op == 110  # and a copy is in the ring
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
