"""A connection that is closed in the turn in which its HELLO leaves stays closed: it gets no
pushes afterwards, and every list and count of connections omits it."""

import os
import signal
import struct
import time

import pytest

from harness.client import SUB, encode_binary
from harness.frames import BINARY, CLOSE, TEXT, frame
from harness.http import upgrade_head
from harness.inspect import inspect
from harness.process import stat
from harness.wait import wait_for

PRIVATE = "user:eve:private"
SUB_PRIVATE = frame(BINARY, encode_binary(SUB, b'{"topics":["%s"]}' % PRIVATE.encode()))


def request(user):
    return upgrade_head(f"/ws?user={user}")


def close_code(got):
    assert got.opcode == CLOSE, f"not a close frame: {got}"
    return struct.unpack(">H", got.payload[:2])[0] if got.payload else 1005


def expect_hello_and_close(client, *codes):
    """Expects HELLO and a close frame; data that the client sends afterwards is discarded."""
    client.expect_upgrade()
    client.expect_hello()
    assert close_code(client.recv_frame()) in codes
    client.offer_bytes(SUB_PRIVATE)
    client.offer_bytes(frame(CLOSE, b"\x03\xe8"))
    client.expect_end()
    client.close()


def expect_gone(server, user, *left):
    """`user` has these connections and no other: by every count, and for a kick. The private topic
    reaches nobody, though strangers may have the descriptor by now."""
    server.wait_connections(len(left))
    listed = [connection["conn"] for connection in server.admin.user(user)]
    assert sorted(listed) == sorted(client.hello["conn"] for client in left)
    assert server.admin.stats()["topic_members"] == 0
    strangers = [server.client(f"stranger{i}") for i in range(4)]
    assert server.publish("topic:" + PRIVATE, {"op": 110, "data": "private"}) == 0
    for stranger in strangers:
        stranger.expect_silence()
    server.publish("ctl", {"kick": user})
    for client in left:
        client.expect_close(4001)
    server.wait_connections(len(strangers))
    assert server.admin.user(user) == []
    assert inspect(server)["faults"] == []


class Stopped:
    """A server of one worker, which sees all that comes meanwhile in one turn."""

    def __init__(self, server):
        self.pid, = server.worker_pids()

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        wait_for(lambda: stat(self.pid)[0] == "T", "the worker to be stopped")

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


@pytest.mark.parametrize("last_words, code", [
    (frame(CLOSE, b"\x03\xe8"), 1000),
    (frame(TEXT, b"x"), 1003),
    (b"\xff" * 8, 1002),
], ids=["close frame", "text", "no frame"])
def test_what_closes_along_with_the_handshake_closes_for_good(make_server, last_words, code):
    server = make_server(workers=1, topics=["user:{user}:*"])
    first = server.client("eve")  # so that HELLO need not wait for Redis
    client = server.raw()
    client.send_bytes(request("eve") + last_words)
    expect_hello_and_close(client, code)
    expect_gone(server, "eve", first)


def test_no_topic_stays_without_members(make_server):
    """What the connection joined is given up at its worker, at the topic's home, and in Redis."""
    server = make_server(workers=2, topics=["*"])
    user = next(f"u{i}" for i in range(99) if server.home_of(f"user:u{i}") == 0)
    server.client(user)
    names = [name for name in (f"t{i}" for i in range(99)) if server.home_of("topic:" + name) == 1]
    for name in names[:4]:
        client = server.raw()
        client.send_bytes(request(user) + frame(CLOSE, b"\x03\xe8"))
        client.expect_upgrade()
        client.expect_hello()
        client.offer_bytes(frame(BINARY, encode_binary(SUB, b'{"topics":["%s"]}' % name.encode())))
        wait_for(lambda: (client.pull(), client.ended or len(client.frames) > 1)[1], "the answer")
        client.close()
    server.wait_connections(1)
    wait_for(lambda: inspect(server)["topics"] == 0, "every topic to be given up")
    assert inspect(server)["faults"] == []
    assert server.redis.client.pubsub_channels(server.channel("topic:*")) == []


def test_a_device_that_comes_and_is_replaced_in_one_turn_is_gone(make_server):
    server = make_server(workers=1, topics=["user:{user}:*"], max_devices=1,
                         device_policy="replace")
    server.client("eve")
    with Stopped(server):
        middle, last = server.raw(), server.raw()
        middle.send_bytes(request("eve"))
        last.send_bytes(request("eve"))
    expect_hello_and_close(middle, 4002)
    last.expect_upgrade()
    last.expect_hello()
    last.expect_silence()
    expect_gone(server, "eve", last)


def test_a_device_that_is_replaced_as_it_arrives_is_not_listened_to(make_server):
    """It was accepted first and asks last, so that it is the oldest when it comes home."""
    server = make_server(workers=1, topics=["user:{user}:*"], max_devices=1,
                         device_policy="replace")
    slow = server.raw()
    head = request("eve")
    slow.send_bytes(head[:40])
    server.wait_connections(1)
    next_second = time.monotonic() + 1.1
    wait_for(lambda: time.monotonic() > next_second, "a second to pass")
    fast = server.client("eve")
    slow.send_bytes(head[40:] + SUB_PRIVATE)
    slow.expect_upgrade()
    slow.expect_close(4002, skip_data=True)
    assert server.admin.counter("topic_joins_total") == 0
    expect_gone(server, "eve", fast)


def test_a_kick_that_comes_with_the_confirmation_of_the_login_is_final(own_redis, make_server):
    redis = own_redis().start()
    server = make_server(workers=1, redis_server=redis, topics=["user:{user}:*"])
    os.kill(redis.process.pid, signal.SIGSTOP)
    client = server.raw()
    client.send_bytes(request("eve"))
    wait_for(lambda: server.admin.user("eve"), "the login")
    server.admin.user("eve")  # another turn: the last one's SUBSCRIBE has left
    with Stopped(server):
        os.kill(redis.process.pid, signal.SIGCONT)
        server.publish("ctl", {"kick": "eve"})
    expect_hello_and_close(client, 4001)
    expect_gone(server, "eve")


def test_a_kick_of_one_connection_along_with_its_login_is_final(own_redis, make_server):
    redis = own_redis().start()
    server = make_server(workers=1, redis_server=redis, topics=["user:{user}:*"])
    os.kill(redis.process.pid, signal.SIGSTOP)
    client = server.raw()
    client.send_bytes(request("eve"))
    name = wait_for(lambda: server.admin.user("eve"), "the login")[0]["conn"]
    server.admin.user("eve")
    with Stopped(server):
        os.kill(redis.process.pid, signal.SIGCONT)
        server.publish("ctl", {"kick_conn": name, "code": 4100})
    expect_hello_and_close(client, 4100)
    expect_gone(server, "eve")
