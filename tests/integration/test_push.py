"""Pushes, the main purpose: every published push reaches its recipients once, complete and in order."""

import json
import random
import re
import threading
import time
from pathlib import Path

import pytest

from harness import admin
from harness.client import PING, PONG, decode_binary
from harness.frames import BINARY
from harness.wait import SLACK, TIMEOUT, wait_for


def counters(server):
    metrics = server.admin.metrics()
    return lambda name, **labels: metrics.total(name, **labels)


# Envelopes and raw frames, to both modes.

PUSHES = [
    # (published, payload for binary mode, (value, form) for JSON mode)
    (b'{"op":110,"data":{"a":[1,2.50,"\xc3\xbc"]}}', b'{"a":[1,2.50,"\xc3\xbc"]}',
     ({"a": [1, 2.5, "ü"]}, "data")),
    (b'{"op":110,"data":"hello"}', b'"hello"', ("hello", "data")),
    (b'{"op":110,"data":null}', b"null", (None, "data")),
    (b'{"op":110,"data":12345678901234567890}', b"12345678901234567890",
     (12345678901234567890, "data")),
    ('{"op":110,"text":"我们都好"}'.encode(), "我们都好".encode(), ("我们都好", "text")),
    (rb'{"op":110,"text":"\u6211\n\"\\\/\ud83d\ude00"}', '我\n"\\/\U0001f600'.encode(),
     ('我\n"\\/\U0001f600', "text")),
    (rb'{"op":110,"text":"{\"a\":1}"}', b'{"a":1}', ('{"a":1}', "text")),
    (rb'{"op":110,"text":"a\u0000b"}', b"a\0b", ("a\0b", "text")),
    (b'{"op":110,"b64":"AP/+gA=="}', b"\x00\xff\xfe\x80", (b"\x00\xff\xfe\x80", "b64")),
    (b'{"op":110}', b"", (None, "none")),
    (b'{ "text" : "spaced" , "op" : 110 }', b"spaced", ("spaced", "text")),
    (b'{"op":110,"more":{"op":1},"data":1}', b"1", (1, "data")),
    (b'{"op":110,"data":1,"id":"m-1","ttl":60,"key":"k"}', b"1", (1, "data")),
    (b"\0\0\0\x6e" + "我们都好".encode(), "我们都好".encode(), ("我们都好", "text")),
    (b'\0\0\0\x6e{"a":1}', b'{"a":1}', ({"a": 1}, "data")),
    (b"\0\0\0\x6e17", b"17", (17, "data")),
    (b"\0\0\0\x6e{no json", b"{no json", ("{no json", "text")),
    (b"\0\0\0\x6e\xff\x00\x80", b"\xff\x00\x80", (b"\xff\x00\x80", "b64")),
    (b"\0\0\0\x6e", b"", (None, "none")),
]


@pytest.mark.parametrize("published, payload, in_json", PUSHES, ids=lambda value: repr(value)[:40])
def test_push_arrives_in_both_modes(server, user, published, payload, in_json):
    binary, text = server.client(user), server.client(user, "json")
    assert server.publish("user:" + user, published) == 1
    assert binary.recv_message() == (110, payload, "binary")
    assert text.recv_message() == (110, *in_json)


def test_text_of_an_envelope_is_the_16_bytes_of_the_contract(server, user):
    client = server.client(user)
    server.push(user, 110, text="我们都好")
    assert client.recv_data() == (BINARY, bytes.fromhex("0000006ee68891e4bbace983bde5a5bd"))


@pytest.mark.parametrize("op", [0, 1, 99, 100, 110, 65536, 16777215])
def test_every_opcode_can_be_pushed(server, user, op):
    client = server.client(user)
    assert server.push(user, op, text="p") == 1
    assert server.publish("user:" + user, op.to_bytes(4, "big") + b"r") == 1
    assert client.recv_message() == (op, b"p", "binary")
    assert client.recv_message() == (op, b"r", "binary")


def test_channels_of_the_contract(server):
    """To the letter: push:user:<id>, with the prefix that is the default."""
    client = server.client("42")
    assert server.redis.publish("push:user:42", '{"op":110,"data":{"from":"7"}}') == 1
    assert client.recv_message().json() == {"from": "7"}


def test_prefix_is_settable(make_server):
    server = make_server(prefix="app7/")
    client = server.client("42")
    assert server.redis.publish("push:user:42", b"\0\0\0\x6eno") == 0
    assert server.redis.publish("app7/user:42", b"\0\0\0\x6eyes") == 1
    assert client.recv_message().payload == b"yes"


@pytest.mark.parametrize("size", [0, 1, 121, 122, 123, 65531, 65532, 65533, 300_000, 1048572])
def test_push_of_every_size_class_arrives(server, user, size):
    client, text = server.client(user), server.client(user, "json")
    payload = random.Random(size).randbytes(size)
    assert server.publish("user:" + user, b"\0\0\0\x6e" + payload) == 1
    assert client.recv_message() == (110, payload, "binary")
    got = text.recv_message()
    assert (got.op, b"" if got.form == "none" else got.bytes()) == (110, payload)


# Whom a push reaches.

def test_push_reaches_every_device_of_its_user_and_no_one_else(server, user):
    devices = [server.client(user, mode) for mode in ("binary", "json", "binary", "json")]
    others = [server.client(user + "x"), server.client(user[:-1]), server.client(user.upper())]
    assert server.push(user, 110, data={"n": 1}) == 1
    for device in devices:
        message = device.recv_message()
        assert (message.op, message.json()) == (110, {"n": 1})
        device.expect_silence()
    for other in others:
        other.expect_silence()


def test_push_all_reaches_every_connection_but_not_the_echo(server, user):
    clients = [server.client(f"{user}.{n % 20}", ("binary", "json")[n % 2]) for n in range(40)]
    echo = server.echo_client()
    assert server.publish("all", {"op": 111, "data": {"news": True}}) == 1
    for client in clients:
        message = client.recv_message()
        assert (message.op, message.json()) == (111, {"news": True})
        client.expect_silence()
    echo.echo()


def test_push_users_reaches_those_named(server, user):
    clients = {n: server.client(f"{user}.{n}", ("binary", "json")[n % 2]) for n in range(30)}
    second = server.client(f"{user}.3")
    named = [f"{user}.{n}" for n in range(0, 30, 3)] + ["nobody", "我们"]
    assert server.publish("users", {"op": 112, "users": named, "text": "hi"}) == 1
    for number, client in clients.items():
        if number % 3 == 0:
            assert client.recv_message()[:1] == (112,)
        client.expect_silence()
    assert second.recv_message() == (112, b"hi", "binary")


def test_push_users_with_escapes_in_the_names(server):
    client = server.client('我 "q"')
    assert server.publish("users", rb'{"op":110,"users":["\u6211 \"q\""],"data":1}') == 1
    assert client.recv_message().json() == 1


def test_push_users_with_very_many_users(server, user):
    client = server.client(user)
    named = [f"absent-{n}" for n in range(20_000)] + [user]
    assert server.publish("users", {"op": 110, "users": named, "data": 1}) == 1
    assert client.recv_message().json() == 1


def test_conn_reaches_only_that_connection(server, user):
    first, second = server.client(user), server.client(user)
    server.push(user, 110, data=1, conn=second.hello["conn"])
    assert second.recv_message().json() == 1
    first.expect_silence()
    second.expect_silence()


def test_except_reaches_all_but_that_connection(server, user):
    devices = [server.client(user) for _ in range(3)]
    server.push(user, 110, data=1, **{"except": devices[1].hello["conn"]})
    for number in (0, 2):
        assert devices[number].recv_message().json() == 1
    for device in devices:
        device.expect_silence()


def test_name_of_a_connection_that_is_gone_reaches_no_one(server, user):
    gone = server.client(user)
    name = gone.hello["conn"]
    gone.close()
    fresh = server.client(user)
    wait_for(lambda: len(server.admin.user(user)) == 1, "the old connection to be gone")
    server.push(user, 110, data=1, conn=name)
    fresh.expect_silence()


NAMES = ["我们", "{tag}one", "{tag}two", "a b", 'quo"te\\', "user:1", "*", "h?llo", "[a-z]", "%41",
         "a{b}c", "{}x", "}{", "{", "-", "\U0001f600", "all", "users", "a" * 63]


def test_user_names_of_every_kind(server):
    clients = {name: server.client(name) for name in NAMES}
    for name in NAMES:
        assert server.push(name, 110, text="for " + name) == 1
    for name, client in clients.items():
        assert client.recv_message().payload.decode() == "for " + name
        client.expect_silence()


# PUBLISH's reply is the number of nodes that had a recipient.

def test_reply_is_0_then_1_then_0_again(server, user):
    assert server.push(user, 110, data=1) == 0
    client = server.client(user)
    assert server.push(user, 110, data=2) == 1
    assert client.recv_message().json() == 2
    client.close()
    wait_for(lambda: server.push(user, 110, data=3) == 0, "the user to be offline")


def test_two_devices_are_one_recipient_and_the_last_to_go_takes_it_away(server, user):
    first, second = server.client(user), server.client(user, "json")
    assert server.subscribers(user) == 1
    assert server.push(user, 110, data=1) == 1
    first.close()
    wait_for(lambda: len(server.admin.user(user)) == 1, "the first device to be gone")
    assert server.subscribers(user) == 1
    assert server.push(user, 110, data=2) == 1
    assert [second.recv_message().json() for _ in range(2)] == [1, 2]
    second.close()
    wait_for(lambda: server.subscribers(user) == 0, "the subscription to end")


def test_reply_to_push_all_is_0_without_and_1_with_connections(server, user):
    """One PUBLISH is one delivery by Redis, whatever the number of workers."""
    wait_for(lambda: server.publish("all", {"op": 110}) == 0, "no recipient")
    clients = [server.client(f"{user}.{n}") for n in range(8)]
    assert server.publish("all", {"op": 110}) == 1
    assert server.publish("users", {"op": 110, "users": [user + ".1"]}) == 1
    for client in clients:
        client.recv_message()
        client.close()
    wait_for(lambda: server.publish("all", {"op": 110}) == 0, "no recipient")


def test_an_echo_connection_is_no_recipient(server):
    wait_for(lambda: server.publish("all", {"op": 110}) == 0, "no recipient")
    server.echo_client().echo()
    assert server.publish("all", {"op": 110}) == 0


def test_two_nodes_on_one_redis(make_server, user):
    first = make_server(prefix="two:", node="n1")
    second = make_server(prefix="two:", node="n2")
    here, there = first.client(user), second.client(user)
    assert (here.hello["node"], there.hello["node"]) == ("n1", "n2")
    assert first.push(user, 110, data="both") == 2
    assert first.publish("all", {"op": 110, "data": "all"}) == 2
    for client in (here, there): # pushes of one channel keep their order, not those of two
        assert {client.recv_message().json() for _ in range(2)} == {"both", "all"}
    here.close()
    wait_for(lambda: first.push(user, 110, data="one") == 1, "the first node to unsubscribe")
    assert first.publish("all", {"op": 110, "data": "end"}) <= 2
    got = [there.recv_message().json()]
    while got[-1] != "end":
        got.append(there.recv_message().json())
    assert set(got[:-1]) <= {"one"} or set(got[:-1]) == {"both", "one"}
    there.close()
    wait_for(lambda: first.push(user, 110, data="none") == 0, "both nodes to unsubscribe")


# READY means ready.

def test_push_at_the_moment_of_hello_arrives_500_times(server, user):
    for number in range(500):
        client = server.client(f"{user}.{number}")
        assert server.push(f"{user}.{number}", 110, data=number) == 1
        assert client.recv_message().json() == number
        client.close()


def test_user_who_comes_back_at_once_is_ready_too(server, user):
    """The unsubscription of the old connection must not take the new one's away."""
    client = server.client(user)
    for number in range(300):
        client.reset() if number % 2 else client.close()
        client = server.client(user)
        assert server.push(user, 110, data=number) == 1
        assert client.recv_message().json() == number


def test_hello_waits_for_redis_and_for_no_clock(server, user):
    """First to come and last to leave, again and again: a wake-up lost between the workers would
    make HELLO wait for the next tick of some timer."""
    waits = []
    for number in range(300):
        start = time.monotonic()
        client = server.client(f"{user}.{number % 7}")
        waits.append(time.monotonic() - start)
        client.reset() if number % 2 else client.close()
    late = [round(wait, 3) for wait in waits if wait > 0.4 * SLACK]
    assert len(late) <= 1, f"HELLO came late {len(late)} times of 300: {late[:5]}"


def test_crowd_that_comes_at_once_is_ready_one_by_one(server, user):
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, [f"{user}.{n}" for n in range(1000)])
        replies = server.redis.publish_many(
            (server.channel(f"user:{user}.{n}"), b"\0\0\0\x6e%d" % n) for n in range(1000))
        assert replies == [1] * 1000
        swarm.pump(lambda: all(c.frames for c in clients), "a push for each")
        for number, client in enumerate(clients):
            assert client.messages() == [(110, b"%d" % number, "binary")]


# Order.

def publish_numbered(server, clients, channel, count, chunk=2000):
    """Publishes `count` numbered pushes and returns what each client got, in its order."""
    got = {client: [] for client in clients}

    def collect():
        for client in clients:
            client.pull()
            while client.frames:
                got[client].append(int(decode_binary(client.frames.popleft().payload).payload))

    for start in range(0, count, chunk):
        replies = server.redis.publish_many(
            (channel, b"\0\0\0\x6e%d" % n) for n in range(start, min(start + chunk, count)))
        assert set(replies) == {1}
        collect()

    def complete():
        collect()
        return all(len(numbers) >= count for numbers in got.values())

    wait_for(complete, "all the pushes", interval=0.001)
    return got


@pytest.mark.parametrize("devices", [1, 2])
def test_100_000_pushes_arrive_in_order(make_server, user, devices):
    server = make_server(queue_limit=64 << 20)
    clients = [server.client(user) for _ in range(devices)]
    got = publish_numbered(server, clients, server.channel("user:" + user), 100_000)
    for numbers in got.values():
        assert numbers == list(range(100_000))


def test_burst_of_16_published_as_one_arrives_in_order(server, user):
    client = server.client(user)
    for turn in range(100):
        replies = server.redis.publish_many(
            (server.channel("user:" + user), b"\0\0\0\x6e%d" % n) for n in range(16))
        assert replies == [1] * 16
        assert [client.recv_message().payload for _ in range(16)] == [b"%d" % n for n in range(16)]


def test_order_for_each_of_many_users_at_once(server, user):
    users, rounds = [f"{user}.{n}" for n in range(300)], 30
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users)
        for number in range(rounds):
            server.redis.publish_many(
                (server.channel("user:" + name), b"\0\0\0\x6e%d" % number) for name in users)
        swarm.pump(lambda: all(len(c.frames) == rounds for c in clients), "every push")
        for client in clients:
            assert [int(m.payload) for m in client.messages()] == list(range(rounds))


def test_order_of_push_all_on_every_connection(server, user):
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, [f"{user}.{n}" for n in range(100)])
        server.redis.publish_many(
            (server.channel("all"), b"\0\0\0\x6e%d" % number) for number in range(300))
        swarm.pump(lambda: all(len(c.frames) == 300 for c in clients), "every push")
        for client in clients:
            assert [int(m.payload) for m in client.messages()] == list(range(300))


def test_answers_and_pushes_do_not_mix_up_their_bytes(server, user):
    """Echoes and pushes cross each other on one connection: both orders hold, no frame is torn."""
    client = server.client(user)
    rng = random.Random(7)
    sizes = [rng.choice([5, 130, 3000, 66000 - 600]) for _ in range(200)]
    got = []
    for number, size in enumerate(sizes):
        server.publish("user:" + user, b"\0\0\0\x6e%06d" % number + b"p" * size)
        client.send_message(PING, b"%06d" % number + b"e" * min(size, 3000))
        client.pull()
        if number % 4 == 3: # not so many at once that it would count as too slow
            got += [client.recv_message() for _ in range(8)]
    for op in (110, PONG):
        assert [int(m.payload[:6]) for m in got if m.op == op] == list(range(len(sizes)))
    assert [len(m.payload) - 6 for m in got if m.op == 110] == sizes


# Malformed pushes.

MALFORMED = [
    ("short", b""), ("short", b"\0\0\0"), ("short", b"x"),
    ("bad_json", b"{"), ("bad_json", b'{"op":110,}'), ("bad_json", b'{"op":110} x'),
    ("bad_json", b'{"op":110,"data":{"a"}}'), ("bad_json", b'{"op":110,"text":"\xff"}'),
    ("bad_json", b'{"op":110,"text":"\\ud800"}'), ("bad_json", b"{\0"),
    ("bad_json", b'{"op":110,"data":' + b"[" * 100_000),
    ("bad_json", b'{"op":110,"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("no_op", b"{}"), ("no_op", b'{"data":1}'), ("no_op", b'{"op":"110","data":1}'),
    ("no_op", b'{"op":null}'), ("no_op", b'{"op":1.5}'), ("no_op", b'{"op":[110]}'),
    ("bad_op", b'{"op":16777216}'), ("bad_op", b"\x01\0\0\0x"), ("bad_op", b"\xff\xff\xff\xffx"),
    ("two_payloads", b'{"op":110,"data":1,"text":"a"}'),
    ("two_payloads", b'{"op":110,"text":"a","b64":"YQ=="}'),
    ("bad_text", b'{"op":110,"text":1}'), ("bad_text", b'{"op":110,"text":null}'),
    ("bad_base64", b'{"op":110,"b64":"!!!!"}'), ("bad_base64", b'{"op":110,"b64":"YQ"}'),
    ("bad_base64", b'{"op":110,"b64":5}'),
    ("bad_option", b'{"op":110,"conn":5}'), ("bad_option", b'{"op":110,"except":[]}'),
    ("bad_option", b'{"op":110,"ttl":"60"}'), ("bad_option", b'{"op":110,"ttl":-1}'),
    ("bad_option", b'{"op":110,"key":{}}'), ("bad_option", b'{"op":110,"id":7}'),
    ("bad_option", b'{"op":110,"users":"a"}'), ("bad_option", b'{"op":110,"users":["a",1]}'),
]


@pytest.mark.parametrize("reason, published", MALFORMED, ids=lambda value: repr(value)[:40])
def test_malformed_push_is_counted_by_reason_and_harms_nothing(server, user, reason, published):
    client = server.client(user)
    before = server.admin.metrics().by_label(admin.MALFORMED, "reason")
    assert server.publish("user:" + user, published) == 1
    assert server.push(user, 110, text="next") == 1
    assert client.recv_message() == (110, b"next", "binary")
    after = server.admin.metrics().by_label(admin.MALFORMED, "reason")
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert {name: by for name, by in grown.items() if by} == {reason: 1}


def test_every_reason_is_tested():
    header = Path(__file__).parents[2] / "proto" / "envelope.h"
    table = header.read_text().split("#define PUSH_ERRORS(X)")[1].split("\n\n")[0]
    assert set(re.findall(r'X\(\w+, "(\w+)"', table)) == {reason for reason, _ in MALFORMED}


@pytest.mark.parametrize("published", [b'{"op":110,"data":1}', b"\0\0\0\x6eraw", b"{"])
def test_push_users_that_names_no_users_is_malformed(server, user, published):
    client = server.client(user)
    before = server.admin.counter(admin.MALFORMED)
    assert server.publish("users", published) == 1
    assert server.publish("users", {"op": 110, "users": [user], "text": "next"}) == 1
    assert client.recv_message().payload == b"next"
    client.expect_silence()
    assert server.admin.counter(admin.MALFORMED) == before + 1


def test_flood_of_malformed_pushes_does_not_flood_the_log(server, user):
    client = server.client(user)
    lines = server.log().count("\n")
    server.redis.publish_many([(server.channel("user:" + user), b"{")] * 20_000)
    server.push(user, 110, text="next")
    assert client.recv_message().payload == b"next"
    assert server.log().count("\n") - lines < 500


def test_push_above_max_push_is_dropped_and_counted(server, user):
    client = server.client(user)
    before = server.admin.counter(admin.MALFORMED, reason="too_large")
    for size in (1048577, 3 << 20, 20 << 20):
        server.publish("user:" + user, b"\0\0\0\x6e" + b"x" * (size - 4))
        server.push(user, 110, text="next")
        assert client.recv_message() == (110, b"next", "binary")
    assert server.admin.counter(admin.MALFORMED, reason="too_large") == before + 3


def test_max_push_is_settable(make_server, user):
    server = make_server(max_push=2000)
    client = server.client(user)
    server.publish("user:" + user, b"\0\0\0\x6e" + b"x" * 1996)
    assert len(client.recv_message().payload) == 1996
    server.publish("user:" + user, b"\0\0\0\x6e" + b"x" * 1997)
    server.push(user, 110, text="next")
    assert client.recv_message().payload == b"next"


# Workers.

def test_users_are_spread_evenly_over_the_workers(make_server):
    """The prefix is part of what is hashed: a fixed one makes the numbers the same each time."""
    server = make_server(workers=4, prefix="spread:")
    with server.swarm() as swarm:
        swarm.connect(server.address, [f"spread-{n}" for n in range(2000)])
        workers = wait_for(lambda: all_counted(server, 2000), "2,000 connections in the statistics")
        counts = [worker["connections"] for worker in workers]
        assert max(counts) <= 1.2 * min(counts), counts


def all_counted(server, total):
    workers = server.admin.workers()
    return workers if sum(worker["connections"] for worker in workers) == total else None


def test_users_of_one_hash_tag_have_one_home(make_server):
    """As Redis Cluster sees it: {tag} decides the slot, and a slot has one home."""
    server = make_server(workers=4)
    for number in range(20):
        server.client("{tag}%d" % number)
    homes = {server.admin.user("{tag}%d" % number)[0]["worker"] for number in range(20)}
    assert len(homes) == 1


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_any_number_of_workers(make_server, user, workers):
    server = make_server(workers=workers)
    clients = [server.client(f"{user}.{n}") for n in range(4 * workers)]
    for number, client in enumerate(clients):
        assert server.push(f"{user}.{number}", 110, data=number) == 1
        assert client.recv_message().json() == number
    assert server.publish("all", {"op": 110, "data": "all"}) == 1
    for client in clients:
        assert client.recv_message().json() == "all"


# The books: every push ends in a counted outcome.

def test_books_of_pushes_balance(server, user):
    clients = [server.client(user), server.client(user), server.client(user + ".b")]
    before = counters(server)
    for number in range(50):
        server.push(user, 110, data=number)
        server.push(user + ".b", 110, data=number)
        server.publish("user:" + user, b"{")
    for client, count in zip(clients, (50, 50, 50)):
        for _ in range(count):
            client.recv_message()
    after = wait_for(lambda: settled(server, before), "the counters to settle")
    grown = {name: after(name) - before(name) for name in
             (admin.RECEIVED, admin.ROUTED, admin.MALFORMED, admin.DELIVERED, admin.DROPPED)}
    assert grown == {admin.RECEIVED: 150, admin.ROUTED: 100, admin.MALFORMED: 50,
                     admin.DELIVERED: 150, admin.DROPPED: 0}


def settled(server, before):
    now = counters(server)
    done = all(now(name) - before(name) >= 150 for name in (admin.DELIVERED, admin.RECEIVED))
    return now if done else None


def test_push_to_nobody_named_is_counted_as_dropped(server, user):
    client = server.client(user)
    before = server.admin.counter(admin.DROPPED, reason="no_connection")
    server.push(user, 110, data=1, conn="no-such-connection")
    client.expect_silence()
    wait_for(lambda: server.admin.counter(admin.DROPPED, reason="no_connection") == before + 1,
             "the drop to be counted")


def test_ping_of_the_protocol_is_no_push(server, user):
    client = server.client(user)
    before = server.admin.counter(admin.DELIVERED)
    client.send_message(PING, json.dumps({"n": 1}).encode())
    client.recv_message()
    assert server.admin.counter(admin.DELIVERED) == before


def test_hello_comes_before_any_push(make_server):
    """Also where pushes come in the same moment as the connection, or as Redis's confirmation."""
    server = make_server(workers=3)
    server.client("first") # so that the node's channels are there
    stop = threading.Event()

    def flood():
        while not stop.wait(0.001):
            server.redis.publish_many((server.channel("all"), b"\0\0\0\x6eall") for _ in range(3))

    publisher = threading.Thread(target=flood, daemon=True)
    publisher.start()
    try:
        with server.swarm() as swarm:
            for turn in range(6): # HELLO is expected to be the first message of each
                swarm.connect(server.address, [f"u{turn}.{n}" for n in range(50)])
    finally:
        stop.set()
        publisher.join(TIMEOUT)
