"""Answers to the requests of one connection: in the order of the requests, and in bounded memory
while Redis has not answered."""

import itertools
import signal

import pytest

from harness import frames as ws
from harness.client import ACCEPTED, AUTH, ERROR, PING, PONG, SUB, Swarm, encode_binary
from harness.process import memory
from harness.server import opcode
from harness.wait import SANITIZED, wait_for

_keys = (f"key{n}" for n in itertools.count())

MIB = 1 << 20
STORED, ECHO, SHORT, RATED = 110, 111, 112, 113


@pytest.fixture
def key():
    """A key of Redis that no other test has."""
    return f"answers:{next(_keys)}"


def rules(key):
    return [opcode(STORED, to=f"stream:{key}", payload="json"), opcode(ECHO, to="echo"),
            opcode(SHORT, to=f"list:{key}:l", max=4), opcode(RATED, to=f"list:{key}:l", rate=1)]


class Halted:
    """A context in which Redis is suspended and does not answer."""

    def __init__(self, redis):
        self.redis = redis

    def __enter__(self):
        self.redis.process.send_signal(signal.SIGSTOP)

    def __exit__(self, *_):
        self.redis.process.send_signal(signal.SIGCONT)


def send_all(client, requests):
    """Sends all requests in one segment, if the network allows."""
    client.send_bytes(b"".join(ws.frame(ws.BINARY, encode_binary(*request))
                               for request in requests))


def answer_of(message):
    """(opcode asked, how it was answered)"""
    if message.op == ACCEPTED:
        return message.json()["op"], "accepted"
    if message.op == ERROR:
        return message.json()["op"], message.json()["code"]
    return message.op, message.bytes()


def answers(client, count):
    return [answer_of(client.recv_message()) for _ in range(count)]


MIXED = [
    ((STORED, b"1"), (STORED, "accepted")),
    ((STORED, b"no json"), (STORED, "bad_payload")),
    ((STORED, b"2"), (STORED, "accepted")),
    ((ECHO, b"an echo"), (ECHO, b"an echo")),
    ((SHORT, b"12345"), (SHORT, "too_large")),
    ((SHORT, b"1234"), (SHORT, "accepted")),
    ((AUTH, b'{"token":1}'), (AUTH, "bad_payload")),
    ((12345, b""), (12345, "unknown_opcode")),
    ((SUB, b'{"topics":["no"]}'), (SUB, "forbidden")),
    ((STORED, b"3"), (STORED, "accepted")),
    ((RATED, b""), (RATED, "accepted")),
    ((RATED, b""), (RATED, "rate_limited")),
    ((STORED, b"4"), (STORED, "accepted")),
]
"""Requests, and the answers that they get."""


def test_good_broken_good_is_answered_in_this_order(make_server, key):
    server = make_server(opcodes=rules(key))
    client = server.client("u")
    send_all(client, [(STORED, b"1"), (STORED, b"broken"), (STORED, b"2")])
    assert answers(client, 3) == [(STORED, "accepted"), (STORED, "bad_payload"),
                                  (STORED, "accepted")]


def test_every_kind_of_answer_keeps_its_place(make_server, key):
    server = make_server(opcodes=rules(key))
    client = server.client("u")
    send_all(client, [request for request, _ in MIXED])
    assert answers(client, len(MIXED)) == [answer for _, answer in MIXED]


def test_answers_keep_their_order_in_json_mode(make_server, key):
    server = make_server(opcodes=rules(key))
    client = server.client("u", "json")
    client.send_bytes(b"".join(ws.frame(ws.TEXT, text) for text in (
        b'{"op":110,"data":1}', b"no json", b'{"op":111,"text":"an echo"}', b'{"op":110,"data":2}')))
    assert answers(client, 4) == [(STORED, "accepted"), (0, "bad_payload"), (ECHO, b"an echo"),
                                  (STORED, "accepted")]


def test_answers_wait_for_redis_and_a_ping_does_not(make_server, own_redis, key):
    redis = own_redis().start()
    server = make_server(redis_server=redis, opcodes=rules(key), workers=1)
    client, other = server.client("u"), server.client("other")
    with Halted(redis):
        send_all(client, [request for request, _ in MIXED])
        send_all(client, [(PING, b"alive")])
        assert client.recv_message() == (PONG, b"alive", "binary")
        send_all(other, [(STORED, b"broken"), (ECHO, b"an echo")])
        assert answers(other, 2) == [(STORED, "bad_payload"), (ECHO, b"an echo")]
    assert answers(client, len(MIXED)) == [answer for _, answer in MIXED]
    client.expect_silence()


def test_one_client_cannot_fill_the_memory_nor_take_the_room_of_others(make_server, own_redis, key):
    redis = own_redis().start()
    server = make_server(redis_server=redis, opcodes=rules(key), workers=1, request_limit=8 * MIB)
    greedy, modest = server.client("greedy"), server.client("modest")
    send_all(greedy, [(SHORT, b"")])  # the cost of the first request does not matter here
    assert answers(greedy, 1) == [(SHORT, "accepted")]
    pid, = server.worker_pids()
    before = memory([pid])
    payload = b"[" + b"1," * 30_000 + b"1]"
    with Halted(redis):
        for _ in range(1000):
            send_all(greedy, [(STORED, payload)])
        greedy.expect_silence()
        grown = memory([pid]) - before
        send_all(modest, [(STORED, payload)])
        modest.expect_silence()
    got = answers(greedy, 1000)
    stored = got.index((STORED, "unavailable"))
    assert got == [(STORED, "accepted")] * stored + [(STORED, "unavailable")] * (1000 - stored)
    assert 3 * MIB < stored * len(payload) < 4 * MIB, "half of what is free"
    assert answers(modest, 1) == [(STORED, "accepted")]
    assert redis.client.xlen(key) == stored + 1
    if not SANITIZED:
        assert grown < 12 * MIB
        wait_for(lambda: memory([pid]) - before < 2 * MIB, "the memory to be given back")


def test_many_answers_wait_in_little_memory_and_come_in_pieces(make_server, own_redis, key):
    """Consecutive identical answers take the memory of one. When they can be sent at last, the client
    is not treated as too slow."""
    redis = own_redis().start()
    server = make_server(redis_server=redis, opcodes=rules(key), workers=1, queue_limit=65536)
    client = server.client("u")
    pid, = server.worker_pids()
    broken = ws.frame(ws.BINARY, encode_binary(STORED, b"broken")) * 1000
    with Halted(redis):
        send_all(client, [(STORED, b"1")])
        before = memory([pid])
        for _ in range(20):
            client.send_bytes(broken)
        client.expect_silence()
        grown = memory([pid]) - before
    assert answers(client, 20_001) == [(STORED, "accepted")] + [(STORED, "bad_payload")] * 20_000
    client.expect_silence()
    if not SANITIZED:
        assert grown < 1 * MIB


def test_a_client_with_too_many_answers_to_wait_for_is_closed(make_server, own_redis, key):
    redis = own_redis().start()
    server = make_server(redis_server=redis, opcodes=rules(key), workers=1, queue_limit=65536)
    client, other = server.client("u"), server.client("other")
    with Halted(redis):
        send_all(client, [(STORED, b"1"), (STORED, b"2")])
        for number in range(1000):
            client.offer_bytes(ws.frame(ws.BINARY, encode_binary(ECHO, b"%100d" % number)))
        assert client.expect_close(1013)[1] == "too many answers wait for Redis"
        other.expect_silence()
    send_all(other, [(STORED, b"3")])
    assert answers(other, 1) == [(STORED, "accepted")]


def test_clients_that_leave_take_their_answers_along(make_server, own_redis, key):
    redis = own_redis().start()
    server = make_server(redis_server=redis, opcodes=rules(key), workers=1)
    with Swarm() as swarm:
        swarm.connect(server.address, [f"u{n}" for n in range(50)])
        with Halted(redis):
            for client in swarm.clients:
                send_all(client, [(STORED, b"1"), (ECHO, b"x" * 1000), (STORED, b"2"), (ECHO, b"y")])
                client.expect_silence()
            for client in list(swarm.clients):
                swarm.remove(client)
                client.reset()
            server.wait_connections(0)
    last = server.client("last")
    send_all(last, [(STORED, b"3"), (ECHO, b"z")])
    assert answers(last, 2) == [(STORED, "accepted"), (ECHO, b"z")]


def test_a_reload_leaves_no_request_without_an_answer(make_server, own_redis, key):
    """A leaving worker cannot wait for Redis forever: it answers `unavailable`, in the order of the
    requests."""
    redis = own_redis().start()
    server = make_server(redis_server=redis, opcodes=rules(key), workers=1)
    server.workers_may_change = True
    server.expect_log("redis_.*_down")
    client = server.client("u")
    before, = server.worker_pids()
    with Halted(redis):
        send_all(client, [(STORED, b"1"), (ECHO, b"an echo"), (STORED, b"2"), (ECHO, b"another")])
        client.expect_silence()
        server.signal(signal.SIGHUP)
        assert answers(client, 4) == [(STORED, "unavailable"), (ECHO, b"an echo"),
                                      (STORED, "unavailable"), (ECHO, b"another")]
        wait_for(lambda: server.worker_pids() not in ([], [before]), "another worker")
