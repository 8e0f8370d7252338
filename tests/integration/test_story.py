"""The complete use case: two nodes on one Redis behind nginx, and the example backend. A sends a
request, the backend consumes it, B gets a push on either node, and A gets an answer. Silence, a reload
of nginx and kill -9 do not disturb it.
"""

import itertools
import json
import os
import secrets
import signal
import time

import pytest

from harness.client import ACCEPTED
from harness.login import sid
from harness.nginx import in_front_of
from harness.process import alive
from harness.server import opcode
from harness.wait import wait_for

OPCODES = [
    opcode(110, name="add-friend", to="stream:push:requests", payload="json", max=4096, rate=10),
    opcode(111, name="get-info", to="stream:push:requests", payload="json"),
]
STREAM, GROUP = "push:requests", "app"


class World:
    """Two nodes, of three workers and of two, and all that is around them."""

    def __init__(self, redis, nodes, nginx, backend, keys):
        self.redis, self.nodes, self.nginx, self.backend = redis, nodes, nginx, backend
        self._keys = keys

    def cookie(self, user, login):
        """Returns a browser's headers after the user has logged in to the application."""
        if login == "jwt":
            return [("Cookie", "token=" + self._keys.token(user))]
        session = secrets.token_urlsafe(24)
        self.redis.client.set("session:" + session, user)
        return sid(session)

    def enter(self, user, node, login="session"):
        """A browser's connection through nginx, as the user, to this node. nginx gives the nodes in
        turn, so this connects again until it reaches the right node."""
        host = f"app.example.org:{self.nginx.port}"
        headers = [("Origin", "http://" + host), *self.cookie(user, login)]
        for _ in range(50):
            client = node.client(None, address=self.nginx.address, path="/serv/ws", host=host,
                                 extra=headers)
            if client.hello["node"] == node.config["node"]:
                break
            client.close()
        assert client.hello["user"] == user and client.hello["node"] == node.config["node"]
        wait_for(lambda: self.nodes_of(user) == [node], "the user to be there, and only there")
        return client

    def nodes_of(self, user):
        return [node for node in self.nodes if node.admin.user(user)]

    def everything_is_done(self):
        """Every request was consumed, and acknowledged."""
        def done():
            group = self.redis.client.xinfo_groups(STREAM)[0]
            return group["pending"] == 0 and group["lag"] == 0
        wait_for(done, "every request to be acknowledged")


@pytest.fixture
def make_world(make_server, own_redis, make_nginx, make_backend, keys):
    def make(nginx=None, **config):
        redis = own_redis().start()
        nodes = [make_server(redis_server=redis, prefix="push:", node=f"node-{number}",
                             workers=workers, opcodes=OPCODES, auth=["jwt", "session"],
                             jwt=keys.section(), **{"heartbeat": 60, **config})
                 for number, workers in enumerate((3, 2))]
        proxy = make_nginx("wspushd.conf", in_front_of(*nodes, **(nginx or {})))
        return World(redis, nodes, proxy, make_backend(redis), keys)
    return make


def worker_of(node, user):
    """The entry of the worker that has the user's one connection."""
    connection, = node.admin.user(user)
    return node.admin.workers()[connection["worker"]]


def user_elsewhere(node, user):
    """A name whose home on the node is another worker than this user's."""
    return next(name for name in map("b{}".format, itertools.count())
                if node.home_of("user:" + name) != node.home_of("user:" + user))


def ask(client, to, text="我们都好"):
    """110 "add friend", up to its ACCEPTED. Returns the stream's id of the request."""
    client.send_message(110, json.dumps({"to": to, "text": text}).encode())
    message = client.recv_message()
    assert message.op == ACCEPTED and message.json()["op"] == 110, message
    return message.json()["id"]


def tell_story(asking, to, *asked, text="我们都好"):
    """`asking` asks the user `to`, whose connections are `asked`: none means offline."""
    ask(asking, to, text)
    user = asking.hello["user"]
    for client in asked:
        message = client.recv_message()
        assert (message.op, message.json()) == (110, {"from": user, "text": text})
    answer = asking.recv_message()
    assert (answer.op, answer.json()) == (110, {"to": to, "online": bool(asked)})


@pytest.mark.parametrize("login", ["session", "jwt"])
def test_a_asks_and_b_gets_it_on_another_worker_and_on_another_node(make_world, login):
    world = make_world()
    home, away = world.nodes
    a = world.enter("a", home, login)
    b = user_elsewhere(home, "a")

    tell_story(a, b)  # nobody there: stored for later, and A is told so

    near = world.enter(b, home, login)
    assert worker_of(home, b)["slot"] != worker_of(home, "a")["slot"]
    assert home.push(b, 120, text="online") == 1, "PUBLISH tells that one node has B"
    assert near.recv_message().bytes() == b"online"
    tell_story(a, b, near)
    near.close()
    wait_for(lambda: home.push(b, 120) == 0, "PUBLISH to tell that nobody has B")
    tell_story(a, b)

    far = world.enter(b, away, login)
    assert home.push(b, 120, text="online") == 1
    assert far.recv_message().bytes() == b"online"
    tell_story(a, b, far)
    tell_story(far, "a", a)
    for client in (a, far):
        client.expect_silence()
    world.everything_is_done()


def test_what_the_stream_and_the_nodes_know_of_it(make_world):
    world = make_world()
    home, away = world.nodes
    a = world.enter("a", home, "jwt")
    entry = ask(a, "b", "are you there?")
    (stored, fields), = world.redis.client.xrange(STREAM)
    assert stored.decode() == entry
    assert (fields[b"user"], fields[b"node"]) == (b"a", b"node-0")
    assert fields[b"conn"].decode() == a.hello["conn"]
    assert json.loads(fields[b"data"]) == {"to": "b", "text": "are you there?"}
    # The browser's address, which nginx has passed on: it has no port.
    assert [c["address"] for c in home.admin.user("a")] == ["127.0.0.1"]
    assert away.admin.user("a") == []
    assert a.recv_message().json() == {"to": "b", "online": False}
    # B connects later and asks for missed messages.
    b = world.enter("b", away)
    b.send_message(111, b"{}")
    assert b.recv_message().op == ACCEPTED
    assert b.recv_message().json()["friend_requests"] == [{"from": "a", "text": "are you there?"}]


def test_b_gets_it_on_every_device_on_both_nodes(make_world):
    world = make_world()
    home, away = world.nodes
    a = world.enter("a", home)
    b = user_elsewhere(home, "a")
    devices = [world.enter(b, home)]
    devices += [away.client(None, extra=world.cookie(b, "jwt"), mode="binary") for _ in range(2)]
    assert home.push(b, 120) == 2, "two nodes have B"
    for device in devices:
        assert device.recv_message().op == 120
    tell_story(a, b, *devices)


def test_silence_for_longer_than_nginx_allows(make_world):
    """nginx ends what is silent for proxy_read_timeout; the server's pings are what keeps it."""
    world = make_world(heartbeat=1, nginx={"proxy_read_timeout 3600s;": "proxy_read_timeout 4s;",
                                           "proxy_send_timeout 3600s;": "proxy_send_timeout 4s;"})
    home, away = world.nodes
    b = user_elsewhere(home, "a")
    everyone = [world.enter("a", home), world.enter(b, away)]
    begun, pings = time.monotonic(), [0, 0]

    def idle():
        for number, client in enumerate(everyone):
            client.pull()
            assert client.ended is None, "nginx closed it"
            pings[number] += len(client.frames)
            client.frames.clear()
        return time.monotonic() - begun > 5 and min(pings) >= 2

    wait_for(idle, "the time to pass", interval=0.05)
    tell_story(everyone[0], b, everyone[1])


def test_a_reload_of_nginx_in_the_middle(make_world):
    world = make_world()
    home, away = world.nodes
    b = user_elsewhere(home, "a")
    asking, asked = world.enter("a", home), world.enter(b, away)
    tell_story(asking, b, asked)
    old = world.nginx.reload()
    tell_story(asking, b, asked)
    fresh = world.enter("c", home)
    tell_story(fresh, b, asked)
    tell_story(asked, "c", fresh)
    assert any(map(alive, old)), "the old worker processes of nginx live on for A and B"
    home.close_clients()
    away.close_clients()
    wait_for(lambda: not any(map(alive, old)), "the old worker processes to end with them")


class Survivor:
    """A client whose worker dies now and then: messages in hand may arrive twice in a row."""

    def __init__(self, client):
        self.send_message = client.send_message
        self._recv, self._last = client.recv_message, None

    def recv_message(self):
        message = self._recv()
        while message == self._last:
            message = self._recv()
        self._last = message
        return message


def test_kill_9_of_both_workers_between_request_and_push(make_world):
    """A has its ACCEPTED, the backend has not begun: then A's worker dies, and B's. The pushes are
    on their way before the successors are; neither connection is closed, and none misses any."""
    world = make_world()
    home, away = world.nodes
    names = {user_elsewhere(home, "a"): home, "far": away}
    for node in world.nodes:
        node.workers_may_change = True
    a = Survivor(world.enter("a", home))
    others = {name: Survivor(world.enter(name, node)) for name, node in names.items()}

    for turn, name in itertools.product(range(3), names):
        world.backend.stop()
        text = f"turn {turn}"
        ask(a, name, text)
        victims = [worker_of(home, "a"), worker_of(names[name], name)]
        assert victims[0]["pid"] != victims[1]["pid"]
        for victim in victims:
            os.kill(victim["pid"], signal.SIGKILL)
        world.backend.go_on()
        assert others[name].recv_message().json() == {"from": "a", "text": text}
        assert a.recv_message().json() == {"to": name, "online": True}
        for node, victim in zip((home, names[name]), victims):
            node.wait_replaced(victim)
    world.everything_is_done()
    assert all(node.admin.counter("gaps_total") == 0 for node in world.nodes)
    assert sum(node.admin.stats()["worker_restarts"] for node in world.nodes) == 12
