"""examples/backend.py: its answers, and that no request is lost or poisoned when it dies."""

import signal
import time

import pytest

from harness.server import opcode
from harness.wait import SLACK, wait_for

RULES = [opcode(op, name=f"op{op}", to="stream:push:requests") for op in (110, 111, 112)]


@pytest.fixture
def node(make_server, own_redis):
    return make_server(prefix="push:", redis_server=own_redis().start(), heartbeat=60,
                       opcodes=RULES)


@pytest.fixture
def backend(node, make_backend):
    return lambda name="one": make_backend(node.redis, name)


def ask(client, op, payload):
    """The answer to a request, behind its ACCEPTED."""
    client.send_message(op, payload.encode())
    assert client.recv_message().op == 8
    answer = client.recv_message()
    assert answer.op == op
    return answer.json()


def test_add_friend_tells_both(node, backend):
    backend()
    asking, asking_too, asked = node.client("42"), node.client("42"), node.client("7")
    assert ask(asking, 110, '{"to":"7","text":"我们都好"}') == {"to": "7", "online": True}
    assert asked.recv_message().json() == {"from": "42", "text": "我们都好"}
    asking_too.expect_silence()
    assert node.redis.client.hgetall("friend-requests:7") == {b"42": "我们都好".encode()}


def test_who_was_offline_finds_the_request_later(node, backend):
    backend()
    assert ask(node.client("42"), 110, '{"to":"7"}') == {"to": "7", "online": False}
    info = ask(node.client("7"), 111, "")
    assert (info["user"], info["friend_requests"]) == ("7", [{"from": "42", "text": ""}])


BAD_REQUESTS = [
    (110, ""), (110, "no json"), (110, "[]"), (110, "{}"), (110, '{"to":7}'), (110, '{"to":""}'),
    (110, '{"to":"7","text":1}'), (110, "\xff"), (112, "{}"), (110, '{"to":"' + "x" * 64 + '"}')]


def test_a_bad_request_is_answered_and_done_with(node, backend):
    backend()
    client = node.client("42")
    for op, payload in BAD_REQUESTS:
        assert "error" in ask(client, op, payload), (op, payload)
        assert ask(client, 110, '{"to":"7"}')["online"] is False
    wait_for(lambda: node.redis.client.xpending("push:requests", "app")["pending"] == 0, "the ack")


def test_what_came_while_no_backend_ran_is_done_later(node, backend):
    client = node.client("42")
    client.send_message(110, b'{"to":"7"}')
    assert client.recv_message().op == 8
    backend()
    assert client.recv_message().json() == {"to": "7", "online": False}


def test_what_a_dead_backend_left_another_takes_over(node, backend):
    backend().kill()
    client = node.client("42")
    client.send_message(110, b'{"to":"7"}')
    assert client.recv_message().op == 8
    redis = node.redis.client  # as a backend that dies between reading and acknowledging
    redis.xreadgroup("app", "dead", {"push:requests": ">"})
    entry = redis.xpending_range("push:requests", "app", "-", "+", 1)[0]["message_id"]
    redis.xclaim("push:requests", "app", "dead", 0, [entry], idle=60000)
    backend("two")
    begun = time.monotonic()
    assert client.recv_message().json() == {"to": "7", "online": False}
    assert time.monotonic() - begun < 2 * SLACK, "it was done before the backend waited for new requests"
    wait_for(lambda: redis.xpending("push:requests", "app")["pending"] == 0, "the ack")


def test_it_survives_redis_being_emptied(node, backend):
    one = backend()
    node.redis.client.flushall()
    one.expect("consumes push:requests")
    assert ask(node.client("42"), 110, '{"to":"7"}') == {"to": "7", "online": False}


def test_it_ends_by_term(backend):
    assert backend().kill(signal.SIGTERM) == 0
