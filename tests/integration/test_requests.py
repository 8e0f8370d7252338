"""Requests of clients: stored in Redis according to their rule, and acknowledged only when Redis has
them."""

import itertools
import json
import os
import signal

import pytest

from harness.client import ACCEPTED, ERROR
from harness.process import alive
from harness.server import opcode
from harness.wait import wait_for

_keys = (f"key{n}" for n in itertools.count())


@pytest.fixture
def key():
    """A key of Redis that no other test has."""
    return f"requests:{next(_keys)}"


def rules(key):
    return [opcode(110, name="add-friend", to=f"stream:{key}:s"),
            opcode(111, name="to-list", to=f"list:{key}:l"),
            opcode(112, name="to-channel", to=f"channel:{key}:c"),
            opcode(113, name="json", to=f"stream:{key}:s", payload="json", max=20)]


def expect_error(client, op, code):
    message = client.recv_message()
    assert message.op == ERROR
    assert (message.json()["code"], message.json()["op"]) == (code, op)


def accepted(client, op):
    message = client.recv_message()
    assert message.op == ACCEPTED and message.json()["op"] == op, message
    return message.json()


def test_stream_holds_who_asked_what_and_the_client_gets_its_id(make_server, key):
    server = make_server(opcodes=rules(key), node="n1")
    client = server.client("zoë")
    client.send_message(110, b"\x00\xffany bytes")
    answer = accepted(client, 110)
    [(entry, fields)] = server.redis.client.xrange(f"{key}:s")
    assert answer["id"].encode() == entry
    assert list(fields) == [b"op", b"user", b"conn", b"node", b"ts", b"data"]
    assert fields[b"op"] == b"110" and fields[b"user"] == "zoë".encode()
    assert fields[b"conn"].decode() == client.hello["conn"] and fields[b"node"] == b"n1"
    assert abs(int(fields[b"ts"]) - int(entry.split(b"-")[0])) < 60_000
    assert fields[b"data"] == b"\x00\xffany bytes"


def test_list_and_channel_get_the_payload(make_server, key):
    server = make_server(opcodes=rules(key))
    pubsub = server.redis.client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(f"{key}:c")
    wait_for(lambda: server.redis.subscribers(f"{key}:c") == 1, "the subscription")
    client = server.client("u", "json")
    client.send_json(111, data={"a": 1})
    assert "id" not in accepted(client, 111)
    client.send_json(112, text="to the channel")
    accepted(client, 112)
    assert [json.loads(item) for item in server.redis.client.lrange(f"{key}:l", 0, -1)] == [{"a": 1}]
    got = wait_for(lambda: pubsub.get_message(timeout=1), "the message")
    assert got["data"] == b"to the channel"
    pubsub.close()


def test_requests_of_a_connection_keep_their_order(make_server, key):
    server = make_server(opcodes=rules(key), workers=4)
    clients = [server.client(f"u{n}") for n in range(8)]
    for number in range(500):
        for client in clients:
            client.send_message(110, b"%d" % number)
    for client in clients:
        ids = [accepted(client, 110)["id"] for _ in range(500)]
        assert ids == sorted(ids, key=lambda text: tuple(map(int, text.split("-"))))
    stored = {}
    for _, fields in server.redis.client.xrange(f"{key}:s"):
        stored.setdefault(fields[b"user"], []).append(int(fields[b"data"]))
    assert stored == {b"u%d" % n: list(range(500)) for n in range(8)}


def test_requests_wait_for_redis_together_and_nobody_waits_for_them(make_server, own_redis, key):
    """Redis halts: the clients' requests go out over each worker's one connection for commands, are
    answered in order when Redis continues, and delay nothing else."""
    redis = own_redis().start()
    server = make_server(redis_server=redis, opcodes=rules(key), workers=2)
    clients = [server.client(f"u{n}") for n in range(6)]
    for client in clients:
        client.send_message(110, b"first")
        accepted(client, 110)

    def connections():
        return {entry["id"] for entry in redis.client.client_list()}

    before = connections()
    redis.process.send_signal(signal.SIGSTOP)
    try:
        for number in range(100):
            for client in clients:
                client.send_message(110, b"%d" % number)
        for client in clients:
            client.expect_silence()
    finally:
        redis.process.send_signal(signal.SIGCONT)
    for client in clients:
        ids = [accepted(client, 110)["id"] for _ in range(100)]
        assert ids == sorted(ids, key=lambda text: tuple(map(int, text.split("-"))))
    assert connections() == before
    assert redis.client.xlen(f"{key}:s") == 6 * 101


def test_request_that_finds_a_successor_is_stored(mortal, key):
    """The worker is dead, Redis is not: a request that its successor reads waits for the successor's
    own connection to Redis, and is not refused."""
    server = mortal(opcodes=rules(key), workers=1)
    client = server.client("u")
    for number in range(10):
        worker, = server.admin.workers()
        os.kill(worker["pid"], signal.SIGKILL)
        wait_for(lambda pid=worker["pid"]: not alive(pid), "its death")
        client.send_message(110, b"%d" % number)
        accepted(client, 110)
        server.wait_replaced(worker)
    stored = [int(fields[b"data"]) for _, fields in server.redis.client.xrange(f"{key}:s")]
    assert stored == list(range(10))


def test_requests_during_a_reload_are_all_stored(make_server, key):
    server = make_server(opcodes=rules(key), workers=2)
    server.workers_may_change = True
    clients = [server.client(f"u{n}") for n in range(8)]
    sent = 0
    for _ in range(5):
        before = set(server.worker_pids())
        server.signal(signal.SIGHUP)
        changed = False
        while not changed:
            changed = len(set(server.worker_pids()) - before) == 2
            for client in clients:
                client.send_message(110, b"%d" % sent)
            sent += 1
    for client in clients:
        for _ in range(sent):
            accepted(client, 110)
    stored = {}
    for _, fields in server.redis.client.xrange(f"{key}:s"):
        stored.setdefault(fields[b"user"], []).append(int(fields[b"data"]))
    assert stored == {b"u%d" % n: list(range(sent)) for n in range(8)}


def test_what_the_rule_refuses_is_not_stored(make_server, key):
    server = make_server(opcodes=rules(key))
    client = server.client("u")
    for payload, code in ((b"no json", "bad_payload"), (b'"' + b"x" * 20 + b'"', "too_large")):
        client.send_message(113, payload)
        expect_error(client, 113, code)
    assert server.redis.client.exists(f"{key}:s") == 0


def test_refusal_of_redis_is_unavailable_and_logged(make_server, key):
    server = make_server(opcodes=rules(key))
    server.redis.client.set(f"{key}:s", "no stream")
    client = server.client("u")
    client.send_message(110, b"x")
    expect_error(client, 110, "unavailable")
    wait_for(lambda: "request_refused_by_redis" in server.log(), "the refusal in the log")
    client.send_message(111, b"the next one is unharmed")
    accepted(client, 111)


def test_without_redis_requests_are_unavailable_and_later_stored_again(make_server, own_redis, key):
    redis = own_redis().start()
    server = make_server(redis_server=redis, opcodes=rules(key))
    server.expect_log("redis_.*_down")
    client = server.client("u")
    redis.kill()
    wait_for(lambda: not server.admin.ready(), "the server to notice")
    client.send_message(110, b"lost")
    expect_error(client, 110, "unavailable")
    redis.start()
    wait_for(server.admin.ready, "/readyz 200")
    while True:  # GAP comes, and the command link may be back a moment later
        client.send_message(110, b"kept")
        message = client.recv_message()
        while message.op not in (ACCEPTED, ERROR):
            message = client.recv_message()
        if message.op == ACCEPTED:
            break
    assert [fields[b"data"] for _, fields in redis.client.xrange(f"{key}:s")] == [b"kept"]


def test_client_that_leaves_before_the_answer_harms_nobody(make_server, key):
    server = make_server(opcodes=rules(key))
    other = server.client("other")
    for number in range(50):
        client = server.client(f"u{number}")
        client.send_message(110, b"x")
        client.reset()
    other.send_message(110, b"y")
    accepted(other, 110)
