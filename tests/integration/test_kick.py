"""A kick ends every login made before it, even one still in progress, and none made after it."""

import json
import os
import signal
from contextlib import contextmanager

import pytest

from harness import admin
from harness.http import upgrade_head
from harness.killpoints import BINARY as KILLABLE
from harness.killpoints import Killpoints
from harness.login import sid
from harness.process import alive
from harness.server import Raw
from harness.wait import SLACK, wait_for

NODE, HOME, OTHER = range(3)
"""The workers: the one that hears of the kick, the user's home, and one that accepts the client."""


def user_at(server, worker, name="u"):
    return next(user for user in (f"{name}{n}" for n in range(1000))
                if server.home_of("user:" + user) == worker)


class Stage:
    """A server with three workers that can be stopped one by one; `user`, whose home is HOME, has a
    connection, the witness, which is closed as soon as the home carries out a kick."""

    def __init__(self, server, headers=()):
        server.workers_may_change = True
        self.server, self.headers = server, headers
        self.user = user_at(server, HOME)
        self.pids = {w["slot"]: w["pid"] for w in server.admin.workers()}
        self.witness = self.connect()
        self.witness.expect_hello()

    def ask(self):
        client = self.server.raw()
        client.send_bytes(upgrade_head(f"/ws?user={self.user}", extra=self.headers))
        return client

    def connect(self):
        client = self.ask()
        client.expect_upgrade()
        return client

    @contextmanager
    def stopped(self, *workers):
        for worker in workers:
            os.kill(self.pids[worker], signal.SIGSTOP)
        try:
            yield
        finally:
            for worker in workers:
                if alive(self.pids[worker]):
                    os.kill(self.pids[worker], signal.SIGCONT)

    def fence(self):
        """Whatever asked before has been read: the only worker that runs has answered this."""
        client = self.server.raw()
        client.send_bytes(upgrade_head("/nothing"))
        assert client.recv_response().status == 404
        client.close()

    def kick(self, **more):
        assert self.server.publish("ctl", {"kick": self.user, **more}) == 1

    def kick_and_wait(self, **more):
        before = self.server.admin.counter("commands_total")
        self.kick(**more)
        wait_for(lambda: self.server.admin.counter("commands_total") == before + 1,
                 "the node's home to have it")


@pytest.fixture
def stage(make_server):
    return Stage(make_server(workers=3, watchdog=20))


# Made before.

def test_logins_on_their_way_home_end_with_4001(stage):
    for turn in range(20):
        with stage.stopped(HOME):
            with stage.stopped(NODE):
                client = stage.ask()
                stage.fence() # worker OTHER has given it to its home
            stage.kick_and_wait()
        client.expect_upgrade()
        client.expect_close(4001)
        client.close()
        stage.witness.expect_close(4001)
        stage.witness.close()
        stage.witness = stage.connect()
        stage.witness.expect_hello()
    stage.witness.expect_silence()
    assert len(stage.server.admin.user(stage.user)) == 1


def test_a_login_on_its_way_gets_the_code_and_reason_of_the_kick(stage):
    with stage.stopped(HOME):
        with stage.stopped(NODE):
            client = stage.ask()
            stage.fence()
        stage.kick_and_wait(code=4100, reason="banned: " + 40 * "你好")
    client.expect_upgrade()
    reason = client.expect_close(4100)[1]
    assert reason.startswith("banned: 你好") and 120 < len(reason.encode()) <= 123


def test_a_login_on_its_way_does_not_outlive_its_home_and_the_kick(stage):
    """The home dies before it has seen either; its successor knows of the kick."""
    server = stage.server
    server.expect_log(r"worker|died|killed|signal")
    with stage.stopped(HOME):
        with stage.stopped(NODE):
            client = stage.ask()
            stage.fence()
        stage.kick_and_wait()
        home = next(w for w in server.admin.workers() if w["slot"] == HOME)
        os.kill(home["pid"], signal.SIGKILL)
    server.wait_replaced(home)
    client.expect_upgrade()
    client.expect_close(4001)
    stage.witness.expect_close(4001)


@pytest.mark.parametrize("home_dies", [False, True])
def test_a_login_that_waits_for_its_session_ends_with_4001(make_server, own_redis, home_dies):
    """Redis was asked before the kick and answers after it. The home that has carried the kick out may
    be dead by then."""
    redis = own_redis().start()
    server = make_server(redis_server=redis, workers=3, watchdog=20, auth=["session"],
                         session=Raw('{ cookie = "sid" prefix = "session:" }'))
    server.expect_log(r"worker|died|killed|signal")
    redis.client.set("session:good", user_at(server, HOME))
    stage = Stage(server, sid("good"))
    with stage.stopped(NODE, HOME):
        redis.process.send_signal(signal.SIGSTOP)
        client = stage.ask()
        stage.fence() # worker OTHER has asked
        os.kill(stage.pids[OTHER], signal.SIGSTOP)
        redis.process.send_signal(signal.SIGCONT)
    try:
        stage.kick()
        stage.witness.expect_close(4001)
        if home_dies:
            server.kill_worker(next(w for w in server.admin.workers() if w["slot"] == HOME))
    finally:
        os.kill(stage.pids[OTHER], signal.SIGCONT)
    client.expect_upgrade()
    client.expect_close(4001)


def test_a_login_that_waits_for_room_in_a_ring_ends_with_4001(make_server):
    """The home does not read its rings until they are full; the login waits where it was accepted."""
    server = make_server(workers=2, watchdog=20, max_push=16384)
    server.workers_may_change = True
    node, home = (w["pid"] for w in server.admin.workers())
    user = user_at(server, 1)
    witness = server.client(user)
    os.kill(home, signal.SIGSTOP)
    try:
        full = server.admin.counter("ring_full_total")
        server.redis.publish_many((server.channel("users"),
                                   json.dumps({"op": 202, "users": ["nobody"], "text": "f" * 15000}))
                                  for _ in range(60))
        wait_for(lambda: server.admin.counter("ring_full_total") > full, "the ring to be full")
        client = server.raw()
        client.send_upgrade(user)
        assert server.admin.status("/healthz") == 200, "it has been read"
        server.publish("ctl", {"kick": user})
    finally:
        os.kill(home, signal.SIGCONT)
    witness.expect_close(4001)
    client.expect_upgrade()
    client.expect_close(4001, skip_data=True) # it may be home before the kick, which waits, too
    assert alive(node)


# Made after.

def test_a_login_after_the_kick_stays_though_its_home_has_not_carried_it_out(stage):
    for worker in (OTHER, HOME):
        with stage.stopped(HOME):
            stage.kick_and_wait()
            if worker == OTHER:
                with stage.stopped(NODE):
                    client = stage.ask()
                    stage.fence()
            else:
                with stage.stopped(NODE, OTHER):
                    client = stage.ask() # nobody but the home will accept it
                    os.kill(stage.pids[HOME], signal.SIGCONT)
                    client.expect_upgrade()
        if worker == OTHER:
            client.expect_upgrade()
        stage.witness.expect_close(4001)
        client.expect_hello()
        client.expect_silence()
        stage.witness = client


def test_kicked_and_back_a_hundred_times(stage):
    for _ in range(100):
        stage.kick()
        stage.witness.expect_close(4001)
        stage.witness.close()
        stage.witness = stage.connect()
        stage.witness.expect_hello()
    stage.witness.expect_silence()


# Many.

def test_a_kick_of_3000_connections_ends_all_and_others_are_served_in_between(make_server):
    server = make_server(workers=1, max_per_address=0, trusted_proxies=[])
    other = server.client("other")
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, ["crowd"] * 3000)
        turns = server.admin.counter("turns_total")
        server.publish("ctl", {"kick": "crowd"})
        back = server.client("crowd")
        other.expect_silence()
        swarm.pump(lambda: all(client.frames for client in clients), "a close frame for each",
                   60 * SLACK)
        assert {int.from_bytes(c.frames[0].payload[:2], "big") for c in clients} == {4001}
        assert server.admin.counter("turns_total") - turns >= 6
    assert server.admin.counter(admin.CLOSED, reason="kicked") in (3000, 3001)
    back.close()
    other.expect_silence()


def test_a_kick_goes_on_when_its_worker_dies_in_the_middle(make_server, tmp_path_factory):
    assert KILLABLE.exists(), "run make killpoints first"
    points = Killpoints(tmp_path_factory.mktemp("points") / "points")
    server = make_server(start=False, workers=1)
    server.binary = KILLABLE
    server.start(env={"WSPUSHD_KILLPOINTS": str(points.path)})
    server.expect_log(r"worker|died|killed|signal")
    server.workers_may_change = True
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, ["crowd"] * 50)
        points.arm("KICK_CLOSED", 20)
        server.publish("ctl", {"kick": "crowd"})
        swarm.pump(lambda: all(client.frames or client.ended for client in clients), "the end of all")
        wait_for(lambda: server.admin.ready() and server.subscribers("crowd") == 0, "no connection to be left")
        told = [c for c in clients if c.frames and c.frames[0].payload[:2] == (4001).to_bytes(2, "big")]
        assert len(told) >= 30, "clients whose close frame was lost with the worker are closed, too"
        assert points.armed("KICK_CLOSED") == 0
