"""The options of a push (ttl, key, id), and the commands kick and kick_conn."""

import json
import re
import time

import pytest

from harness import admin
from harness.client import PONG, PING, SUB, SUBBED
from harness.wait import wait_for

ROOMY = {"send_buffer": 16384, "queue_limit": 4 << 20, "topics": ["*"]}
"""Small buffers in the kernel and a large queue in the server, so that pushes to slow clients queue."""

FILL = b"\0\0\0\x6efill" + b"." * 1000


def slow_client(server, user, mode="binary"):
    """Returns a connected client that reads only when told to."""
    return server.client(user, mode, receive_buffer=4096)


def fill(server, user, count=600):
    """Sends more than the kernel takes, so that all later pushes wait in the server."""
    before = server.admin.counter(admin.QUEUED)
    server.redis.publish_many((server.channel("user:" + user), FILL) for _ in range(count))
    wait_for(lambda: server.admin.counter(admin.QUEUED) > before, "a backlog")


def wait_routed(server, count):
    wait_for(lambda: server.admin.counter(admin.ROUTED) >= count, f"{count} pushes routed")


def read_until(client, text):
    """Returns the payloads up to this one, without filler."""
    got = []
    while not got or got[-1] != text:
        payload = client.recv_message().bytes()
        if not payload.startswith(b"fill"):
            got.append(payload)
    return got


def dropped(server, reason):
    return server.admin.counter(admin.DROPPED, reason=reason)


def check_books(server):
    """Every delivery has ended, as delivered or dropped."""
    def closed():
        metrics = server.admin.metrics()
        return metrics.total(admin.DELIVERED) + metrics.total(admin.DROPPED) \
            == metrics.total(admin.ROUTED)
    wait_for(closed, "the books to be closed")


# ttl

def test_ttl_drops_what_waited_too_long_and_nothing_else(make_server):
    server = make_server(**ROOMY)
    client = slow_client(server, "u")
    fill(server, "u")
    for number in range(10):
        server.push("u", text=f"old {number}", ttl=1)
        server.push("u", text=f"kept {number}", ttl=3600)
        server.push("u", text=f"always {number}")
    time.sleep(1.2)  # the time that is to pass
    server.push("u", text="fresh", ttl=1)
    server.push("u", text="end")
    wait_routed(server, 632)
    want = [b"%s %d" % (word, n) for n in range(10) for word in (b"kept", b"always")]
    assert read_until(client, b"end") == [*want, b"fresh", b"end"]
    client.expect_silence()
    assert dropped(server, "expired") == 10
    check_books(server)


def test_ttl_of_zero_is_none_and_a_reading_client_gets_everything(server, user):
    client = server.client(user)
    for number in range(50):
        server.push(user, text=str(number), ttl=number % 2)
    assert [client.recv_message().payload for _ in range(50)] == [b"%d" % n for n in range(50)]


def test_backlog_of_expired_pushes_makes_room(make_server):
    """Expired pushes do not count towards the queue's limit."""
    server = make_server(send_buffer=16384, queue_limit=262144)
    client = slow_client(server, "u")
    server.redis.publish_many((server.channel("user:u"), FILL) for _ in range(60))
    big = "x" * 20000
    for _ in range(2):  # together more than the limit
        for _ in range(8):
            server.push("u", text=big, ttl=1)
        time.sleep(1.1)  # the time that is to pass
    server.push("u", text="end")
    while client.recv_message().payload != b"end":
        pass
    assert server.admin.counter(admin.CLOSED, reason="slow") == 0
    assert dropped(server, "expired") >= 8


def test_backlog_that_expires_altogether(make_server):
    """The client catches up with nothing left to send, and goes on as any other."""
    server = make_server(**ROOMY)
    client = slow_client(server, "u")
    server.redis.publish_many(
        (server.channel("user:u"), json.dumps({"op": 110, "text": "y" * 3000, "ttl": 1}))
        for _ in range(300))
    wait_routed(server, 300)
    time.sleep(1.2)  # the time that is to pass
    client.send_message(PING, b"after")
    count = 0
    while client.recv_message().op != PONG:
        count += 1
    assert count < 300
    assert dropped(server, "expired") == 300 - count
    assert server.push("u", text="next") == 1
    assert client.recv_message().payload == b"next"
    check_books(server)


# key

def test_key_replaces_what_waits(make_server):
    server = make_server(**ROOMY)
    client = slow_client(server, "u")
    fill(server, "u")
    for number in range(20):
        server.push("u", text=f"a{number}", key="price:a")
        server.push("u", text=f"b{number}", key="price:b")
        server.push("u", text=f"n{number}")
    server.push("u", text="end")
    wait_routed(server, 661)
    got = read_until(client, b"end")
    assert got == [*(b"n%d" % n for n in range(19)), b"a19", b"b19", b"n19", b"end"]
    client.expect_silence()
    assert dropped(server, "replaced") == 38
    check_books(server)


def test_keys_are_compared_as_text(make_server):
    r"""Not as it is written: "\u00fc" is "ü"."""
    server = make_server(**ROOMY)
    client = slow_client(server, "u")
    fill(server, "u")
    for number, key in enumerate([r'"\u00fc/1"', '"ü/1"', r'"ü\/1"', '"u/1"', '"' + "k" * 128 + '"']):
        server.publish("user:u", b'{"op":110,"text":"%d","key":%s}' % (number, key.encode()))
    server.push("u", text="end")
    wait_routed(server, 606)
    assert read_until(client, b"end") == [b"2", b"3", b"4", b"end"]


def test_keys_are_of_a_connection_whatever_the_channel(make_server):
    """And the other connections of the user that read get everything."""
    server = make_server(**ROOMY)
    slow, good = slow_client(server, "u"), server.client("u")
    for client in (slow, good):
        client.send_message(SUB, b'{"topics":["room"]}')
        assert client.recv_message().op == SUBBED
    fill(server, "u")
    for _ in range(600):
        good.recv_message()
    for channel in ("user:u", "topic:room", "all"):
        server.publish(channel, {"op": 110, "text": channel, "key": "k"})
    assert {good.recv_message().payload for _ in range(3)} == {b"user:u", b"topic:room", b"all"}
    server.push("u", text="end") # only now: channels have no order between them
    assert good.recv_message().payload == b"end"
    got = read_until(slow, b"end")
    assert len(got) == 2
    assert dropped(server, "replaced") == 2


@pytest.mark.parametrize("mode", ["binary", "json"])
def test_key_never_tears_a_frame(make_server, mode):
    """Large pushes: the one that is partly sent stays, whatever its key."""
    server = make_server(**ROOMY)
    client = slow_client(server, "u", mode)
    for number in range(40):
        server.push("u", text=f"{number:08d}" + "z" * 100_000, key="k")
    server.push("u", text="end")
    got = read_until(client, b"end")
    numbers = [int(payload[:8]) for payload in got[:-1]]
    assert numbers == sorted(set(numbers)) and numbers[-1] == 39
    assert all(payload[8:] == b"z" * 100_000 for payload in got[:-1])
    assert dropped(server, "replaced") == 40 - len(numbers)


def test_key_and_ttl_of_topics_on_all_workers(make_server):
    server = make_server(workers=3, **ROOMY)
    clients = [slow_client(server, f"u{n}") for n in range(6)]
    for number, client in enumerate(clients):
        client.send_message(SUB, b'{"topics":["room"]}')
        assert client.recv_message().op == SUBBED
        fill(server, f"u{number}")
    for number in range(5):
        server.publish("topic:room", {"op": 110, "text": f"k{number}", "key": "k"})
        server.publish("topic:room", {"op": 110, "text": f"t{number}", "ttl": 1})
    time.sleep(1.2)  # the time that is to pass
    server.publish("topic:room", {"op": 110, "text": "end"})
    for client in clients:
        assert read_until(client, b"end") == [b"k4", b"end"]
    assert dropped(server, "replaced") == 24
    assert dropped(server, "expired") == 30


@pytest.mark.parametrize("option", [
    {"key": 1}, {"key": ""}, {"key": "x" * 129}, {"key": None}, {"ttl": -1}, {"ttl": 1.5},
    {"ttl": "1"}, {"id": 7}, {"conn": 7}, {"except": []}], ids=str)
def test_options_of_the_wrong_kind(server, user, option):
    client = server.client(user)
    before = server.admin.counter(admin.MALFORMED, reason="bad_option")
    server.push(user, text="bad", **option)
    server.push(user, text="good")
    assert client.recv_message().payload == b"good"
    assert server.admin.counter(admin.MALFORMED, reason="bad_option") == before + 1


# id

def test_id_is_shown_in_the_log(make_server):
    """At debug level of every push that has one; always of a malformed one, in one line."""
    server = make_server(log_level="debug", topics=["*"])
    client = server.client("u")
    client.send_message(SUB, b'{"topics":["room"]}')
    assert client.recv_message().op == SUBBED
    server.push("u", text="x", id="order-17")
    server.push("u", text="x", id='a "b"\n\x1b[31m level=error')
    server.push("u", text="x")
    server.publish("topic:room", {"op": 113, "id": "topic-1"})
    server.publish("all", {"op": 114, "id": "all-1"})
    server.publish("user:u", {"op": 110, "data": 1, "text": "2", "id": "broken-1"})
    server.publish("user:u", {"op": 110, "ttl": "no", "id": "broken-2"})
    server.publish("user:u", {"op": 110, "id": "y" * 3000})
    for _ in range(6):
        client.recv_message()
    lines = re.findall(r"event=push id=(\S+|\".*?[^\\]\") op=(\d+)", server.log())
    assert ("order-17", "110") in lines and ("topic-1", "113") in lines and ("all-1", "114") in lines
    assert len(lines) == 5
    assert r'id="a \"b\"\n\x1b[31m level=error"' in server.log()
    for number, reason in ((1, "two_payloads"), (2, "bad_option")):
        assert re.search(rf"event=push_malformed reason={reason} .*id=broken-{number} ", server.log())
    server.expect_log(r"\\x1b")


def test_id_is_not_shown_otherwise(make_server):
    server = make_server()
    client = server.client("u")
    server.push("u", text="x", id="order-17")
    client.recv_message()
    assert "order-17" not in server.log()


# kick

def command(server, **members):
    return server.publish("ctl", members)


def test_kick_conn_closes_that_one_only(make_server):
    nodes = [make_server(prefix="kick:", workers=3), make_server(prefix="kick:", workers=2)]
    clients = [node.client("42", mode) for node in nodes for mode in ("binary", "json")]
    assert command(nodes[0], kick_conn=clients[2].hello["conn"], code=4010, reason="gone") == 2
    assert clients[2].expect_close(4010) == (4010, "gone")
    assert command(nodes[0], kick_conn=clients[2].hello["conn"]) == 2, "no longer there: no fault"
    assert command(nodes[0], kick_conn=clients[1].hello["conn"]) == 2
    clients[1].expect_close(4001)
    for client in (clients[0], clients[3]):
        client.expect_silence()
    assert nodes[0].push("42", text="left") == 2
    for node in nodes:
        assert node.admin.counter("commands_malformed_total") == 0
        assert node.admin.counter(admin.CLOSED, reason="kicked") == 1


def test_kick_reaches_every_connection_on_every_node(make_server):
    nodes = [make_server(prefix="kick2:", workers=3), make_server(prefix="kick2:", workers=2)]
    clients = [node.client("42") for node in nodes for _ in range(5)]
    other = nodes[0].client("43")
    assert command(nodes[1], kick="42", code=4999, reason="r" * 123) == 2
    for client in clients:
        assert client.expect_close(4999) == (4999, "r" * 123)
    other.expect_silence()
    wait_for(lambda: nodes[0].push("42") == 0, "the user to be offline")


@pytest.mark.parametrize("message", [
    b"", b"null", b"[]", b'"kick"', b"{", b"{}", b'{"kick":42}', b'{"kick":""}', b'{"kick":null}',
    b'{"kick":"42","code":1000}', b'{"kick":"42","code":5000}', b'{"kick":"42","code":"4001"}',
    b'{"kick":"42","code":4001.0}', b'{"kick":"42","code":-1}', b'{"kick":"42","reason":1}',
    b'{"kick":"42","kick_conn":"1-1-1"}', b'{"kick_conn":""}', b'{"kick_conn":"42"}',
    b'{"kick_conn":"1-2"}', b'{"kick_conn":"01-2-3"}', b'{"kick_conn":17}', b'{"ban":"42"}',
    b'{"kick":"\xff"}', b'{"kick":"4\\u00002"}', b"[" * 100_000, b"\0\0\0\x6e"],
    ids=lambda value: repr(value)[:32])
def test_malformed_commands_close_nobody_and_are_counted_once(server, message):
    client = server.client("42")
    before = server.admin.counter("commands_malformed_total")
    done = server.admin.counter("commands_total")
    lines = server.log().count("ctl_malformed")
    server.publish("ctl", message)
    wait_for(lambda: server.admin.counter("commands_malformed_total") == before + 1, "the count")
    assert server.admin.counter("commands_total") == done
    assert server.log().count("ctl_malformed") - lines <= 1
    client.expect_silence()
