"""Topics: permission to join, the guarantee of SUBBED, the recipients of a push, and crashes."""

import json
import os
import signal
import threading

import pytest

from harness import admin
from harness.client import ERROR, GAP, HELLO, SUB, SUBBED, UNSUB, UNSUBBED, encode_binary
from harness.frames import BINARY, frame
from harness.publisher import Publisher, check_received
from harness.wait import TIMEOUT, wait_for

OPEN = {"topics": ["*"]}
"""Any topic for anybody."""


def ask(client, op, *topics):
    payload = {"topics": list(topics)}
    if client.mode == "json":
        client.send_json(op, data=payload)
    else:
        client.send_message(op, json.dumps(payload, ensure_ascii=False).encode())


def join(client, *topics):
    ask(client, SUB, *topics)
    message = client.recv_message()
    assert (message.op, message.json()) == (SUBBED, {"topics": list(topics)})


def leave(client, *topics):
    ask(client, UNSUB, *topics)
    message = client.recv_message()
    assert (message.op, message.json()) == (UNSUBBED, {"topics": list(topics)})


def expect_error(client, code, op=SUB):
    message = client.recv_message()
    assert message.op == ERROR, message
    assert (message.json()["code"], message.json()["op"]) == (code, op)


def until(client, op):
    """Reads up to the next message with this opcode, and returns it."""
    while True:
        message = client.recv_message()
        if message.op == op:
            return message


def channels(server):
    """The topics that anybody has subscribed in Redis."""
    prefix = server.channel("topic:")
    return {name.decode()[len(prefix):] for name in server.redis.client.pubsub_channels(prefix + "*")}


def expect_no_channels(server):
    wait_for(lambda: not channels(server), "every topic to be given up")


def command(server, **members):
    return server.publish("ctl", members)


def swarm_join(swarm, clients, *topics):
    """Each joins the topics, all at once."""
    for client in clients:
        ask(client, SUB, *topics)
    swarm.pump(lambda: all(c.frames for c in clients), "SUBBED for everyone")
    for client in clients:
        message = client.recv_message()
        assert (message.op, message.json()) == (SUBBED, {"topics": list(topics)})


# Joining and leaving.

@pytest.mark.parametrize("mode", ["binary", "json"])
def test_join_push_leave(make_server, mode):
    server = make_server(workers=4, **OPEN)
    client = server.client("u", mode)
    assert server.publish("topic:room:7", {"op": 110, "data": 1}) == 0
    join(client, "room:7", "news")
    assert channels(server) == {"room:7", "news"}
    assert server.publish("topic:room:7", {"op": 110, "data": {"n": 1}}) == 1
    message = client.recv_message()
    assert (message.op, message.json()) == (110, {"n": 1})
    leave(client, "room:7")
    wait_for(lambda: server.publish("topic:room:7", {"op": 110}) == 0, "the topic to be given up")
    assert server.publish("topic:news", {"op": 111, "data": 2}) == 1
    assert client.recv_message().json() == 2
    client.close()
    expect_no_channels(server)


def test_every_topic_has_its_home_and_subbed_comes_once_for_a_sub(make_server):
    """50 topics over four workers: one SUBBED, and by then each of them is subscribed."""
    server = make_server(workers=4, **OPEN)
    client = server.client("u")
    topics = [f"room:{n}" for n in range(50)]
    join(client, *topics)
    assert channels(server) == set(topics)
    replies = server.redis.publish_many(
        (server.channel("topic:" + topic), b"\0\0\0\x6e" + topic.encode()) for topic in topics)
    assert replies == [1] * 50
    assert {client.recv_message().payload.decode() for _ in topics} == set(topics)
    client.expect_silence()


def test_members_on_every_worker_get_one_copy_each(make_server):
    server = make_server(workers=4, **OPEN)
    with server.swarm() as swarm:
        members = swarm.connect(server.address, [f"m{n}" for n in range(60)])
        members += swarm.connect(server.address, [f"m{n}" for n in range(20)], mode="json")
        others = swarm.connect(server.address, [f"o{n}" for n in range(20)])
        swarm_join(swarm, members, "room")
        assert len({c["worker"] for n in range(60) for c in server.admin.user(f"m{n}")}) == 4
        assert server.redis.subscribers(server.channel("topic:room")) == 1
        assert server.publish("topic:room", {"op": 110, "text": "hi"}) == 1
        swarm.pump(lambda: all(c.frames for c in members), "the push for every member")
        for member in members:
            assert member.recv_message().bytes() == b"hi"
            member.expect_silence()
        for other in others:
            other.expect_silence()


def test_sub_again_is_answered_again_and_changes_nothing(make_server):
    server = make_server(**OPEN)
    client = server.client("u")
    join(client, "a")
    join(client, "a")
    ask(client, SUB, "b", "a", "b")
    assert sorted(client.recv_message().json()["topics"]) == ["a", "b"]
    server.publish("topic:a", {"op": 110})
    assert client.recv_message().op == 110
    client.expect_silence()
    leave(client, "a")
    ask(client, UNSUB, "a", "nowhere")
    assert client.recv_message() == (UNSUBBED, b'{"topics":[]}', "binary")
    wait_for(lambda: channels(server) == {"b"}, "only b")


def test_sub_right_behind_the_request_is_answered_after_hello(make_server):
    server = make_server(workers=3, **OPEN)
    for number in range(20):
        client = server.raw()
        client.send_upgrade(f"u{number}")
        payload = json.dumps({"topics": [f"room:{number}"]}).encode()
        client.send_bytes(frame(BINARY, encode_binary(SUB, payload)))
        client.expect_upgrade()
        assert [client.recv_message().op for _ in range(2)] == [HELLO, SUBBED]


def test_sub_and_unsub_in_one_write(make_server):
    server = make_server(workers=3, **OPEN)
    client = server.client("u")
    for number in range(30):
        out = b""
        for op in (SUB, UNSUB, SUB, UNSUB):
            payload = json.dumps({"topics": [f"t{number}"]}).encode()
            out += frame(BINARY, encode_binary(op, payload))
        client.send_bytes(out)
    answers = 0
    while answers < 60:
        message = client.recv_message()
        assert message.op in (SUBBED, UNSUBBED)
        answers += message.op == UNSUBBED
    expect_no_channels(server)
    join(client, "t1", "t2")
    assert server.publish("topic:t1", {"op": 110}) == 1


def test_empty_and_longest_and_strange_names(make_server):
    server = make_server(**OPEN)
    client, text = server.client("u"), server.client("u", "json")
    for topic in ["x" * 128, "我" * 42, 'a "quoted" \\ name', " ", "*", "{user}", "'\U0001f600"]:
        join(client, topic)
        join(text, topic)
        assert server.publish("topic:" + topic, {"op": 110, "text": topic}) == 1
        assert client.recv_message().payload == topic.encode()
        assert text.recv_message().payload == topic
        leave(client, topic)
    ask(client, SUB)
    assert client.recv_message() == (SUBBED, b'{"topics":[]}', "binary")


# Permissions.

BAD_NAMES = ["", "x" * 129, "我" * 43, "a\nb", "a\0b", "\x7f", "\x85", "\x1b[31m", "x" * 1000]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:20])
def test_bad_names_are_refused_and_the_others_joined(make_server, name):
    server = make_server(**OPEN)
    client = server.client("u")
    ask(client, SUB, "good", name, name)
    got = [client.recv_message() for _ in range(2)]
    assert {m.op for m in got} == {ERROR, SUBBED}
    assert {m.json().get("code") for m in got} == {"bad_topic", None}
    assert channels(server) == {"good"}
    ask(client, UNSUB, name)
    expect_error(client, "bad_topic", UNSUB)
    client.expect_silence()


def test_rule_of_push_conf(make_server):
    server = make_server(topics=["room:*", "user:{user}:*", "news"])
    client = server.client("42")
    join(client, "room:7", "user:42:in", "news")
    for topic in ["room", "user:421:in", "user:4:in", "newsroom", "xroom:1", "user:*:in"]:
        ask(client, SUB, topic)
        expect_error(client, "forbidden")
    ask(client, SUB, "room:8", "secret", "secret2")
    got = [client.recv_message() for _ in range(2)]
    assert {m.op for m in got} == {ERROR, SUBBED}
    assert server.publish("topic:secret", {"op": 110}) == 0
    client.expect_silence()


def test_wildcard_in_a_users_name_is_none(make_server):
    server = make_server(topics=["user:{user}:x"])
    client = server.client("*")
    ask(client, SUB, "user:42:x")
    expect_error(client, "forbidden")
    join(client, "user:*:x")


def test_no_topic_without_a_rule(server, user):
    client = server.client(user)
    ask(client, SUB, "room:7")
    expect_error(client, "forbidden")
    ask(client, UNSUB, "room:7")
    assert client.recv_message() == (UNSUBBED, b'{"topics":[]}', "binary")


@pytest.mark.parametrize("payload", [
    b"", b"room", b"[]", b'{"topics":"a"}', b'{"topics":[1]}', b'{"topics":["a",null]}', b"{}",
    b'{"topics":["a"]', b'{"topics":["\xff"]}', b"[" * 60000], ids=lambda p: repr(p)[:24])
def test_bad_payloads(make_server, payload):
    server = make_server(**OPEN)
    client = server.client("u")
    for op in (SUB, UNSUB):
        client.send_message(op, payload)
        expect_error(client, "bad_payload", op)
    assert channels(server) == set()


def test_number_of_topics_is_limited(make_server):
    server = make_server(max_topics=5, **OPEN)
    client = server.client("u")
    for number in range(5):
        assert command(server, sub="u", topics=[f"t{number}"]) == 1
        assert client.recv_message().op == SUBBED
    ask(client, SUB, "t5")
    expect_error(client, "too_many_topics")
    join(client, "t1")
    leave(client, "t3")
    join(client, "t5")
    command(server, sub="u", topics=["t6"])
    client.expect_silence()
    wait_for(lambda: "sub_refused" in server.log(), "a line about it")
    assert channels(server) == {"t0", "t1", "t2", "t4", "t5"}


def test_flood_of_subs_harms_nobody(make_server):
    """SUBs of many names as fast as they are read, while another client is served as before."""
    server = make_server(workers=2, **OPEN)
    flood, good = server.client("flood"), server.client("good")
    join(good, "room")
    refused = 0
    for turn in range(40):
        out = b""
        for number in range(20):
            names = [f"f{turn}.{number}.{k}" for k in range(50)]
            payload = json.dumps({"topics": names}).encode()
            out += frame(BINARY, encode_binary(SUB, payload))
            out += frame(BINARY, encode_binary(UNSUB, payload))
        flood.send_bytes(out)
        assert server.publish("topic:room", {"op": 110, "data": turn}) == 1
        assert good.recv_message(timeout=5).json() == turn
        flood.pull()
        refused += sum(m.op == ERROR for m in flood.messages())
    assert refused > 100
    assert len(channels(server)) <= 101
    flood.close()
    wait_for(lambda: channels(server) == {"room"}, "the flood's topics to be given up")


def test_flood_beyond_the_rate_is_rate_limited(make_server):
    server = make_server(max_topics=3, **OPEN)
    client = server.client("u")
    ask(client, UNSUB, *(f"t{n}" for n in range(500)))
    expect_error(client, "rate_limited", UNSUB)
    client.expect_silence()


# Backends.

def test_backend_puts_a_user_into_topics_on_every_node(make_server):
    """Not bound by the rule; every connection of the user, on two nodes; each is told."""
    nodes = [make_server(prefix="two:", workers=3), make_server(prefix="two:", workers=2)]
    clients = [node.client("42", mode) for node in nodes for mode in ("binary", "json")]
    other = nodes[0].client("43")
    assert command(nodes[0], sub="42", topics=["vip", "beta"]) == 2
    for client in clients:
        message = client.recv_message()
        assert (message.op, message.json()) == (SUBBED, {"topics": ["vip", "beta"]})
    assert nodes[0].publish("topic:vip", {"op": 110, "data": 1}) == 2
    for client in clients:
        assert client.recv_message().json() == 1
    command(nodes[0], unsub="42", topics=["vip", "never"])
    for client in clients:
        message = client.recv_message()
        assert (message.op, message.json()) == (UNSUBBED, {"topics": ["vip"]})
    wait_for(lambda: channels(nodes[0]) == {"beta"}, "vip to be given up")
    for client in clients[2:]:
        client.close()
    wait_for(lambda: nodes[0].publish("topic:beta", {"op": 111}) == 1, "one node with a member")
    for client in clients[:2]:
        until(client, 111)
    other.expect_silence()


@pytest.mark.parametrize("message", [
    {"sub": "42"}, {"sub": "42", "topics": []}, {"sub": "42", "topics": "vip"},
    {"sub": "42", "topics": ["ok", ""]}, {"sub": "42", "topics": ["a\nb"]},
    {"sub": "42", "topics": ["x" * 129]}, {"sub": "", "topics": ["a"]}, {"sub": 42, "topics": ["a"]},
    {"unsub": "42", "topics": [1]}, {"sub": "42", "unsub": "42", "topics": ["a"]},
    {"sub": "x" * 64, "topics": ["a"]}, {"sub": "4\n2", "topics": ["a"]}], ids=lambda m: str(m)[:30])
def test_malformed_commands_do_nothing_and_are_counted_once(make_server, message):
    server = make_server(workers=3)
    client = server.client("42")
    command(server, **message)
    command(server, sub="42", topics=["fence"])
    assert client.recv_message().json() == {"topics": ["fence"]}
    wait_for(lambda: server.admin.counter("commands_malformed_total") == 1, "it to be counted")
    assert server.log().count("ctl_malformed") == 1
    assert server.admin.counter("commands_total") == 1


# Whom a push reaches.

def test_conn_and_except_with_topics(make_server):
    server = make_server(workers=3, **OPEN)
    clients = [server.client(f"u{n}") for n in range(6)]
    outsider = server.client("outsider")
    for client in clients:
        join(client, "room")
    names = [client.hello["conn"] for client in clients]
    server.publish("topic:room", {"op": 110, "data": "one", "conn": names[2]})
    server.publish("topic:room", {"op": 110, "data": "others", "except": names[2]})
    server.publish("topic:room", {"op": 110, "data": "no", "conn": outsider.hello["conn"]})
    server.publish("topic:room", {"op": 110, "data": "no", "conn": "nobody"})
    server.publish("topic:room", {"op": 110, "data": "end"})
    for number, client in enumerate(clients):
        assert client.recv_message().json() == ("one" if number == 2 else "others")
        assert client.recv_message().json() == "end"
    outsider.expect_silence()


def test_malformed_push_to_a_topic_is_counted_once(make_server):
    server = make_server(workers=4, **OPEN)
    clients = [server.client(f"u{n}") for n in range(8)]
    for client in clients:
        join(client, "room")
    server.publish("topic:room", b'{"op":')
    server.publish("topic:room", {"op": 110, "data": "end"})
    for client in clients:
        assert client.recv_message().json() == "end"
    # A delivery is counted when send(2) has returned, and the client may be quicker than that.
    wait_for(lambda: server.admin.counter(admin.DELIVERED) == 8, "all deliveries to be counted")
    metrics = server.admin.metrics()
    assert metrics.total(admin.MALFORMED) == 1
    assert metrics.total(admin.RECEIVED) == 2
    assert metrics.total(admin.ROUTED) == 1
    assert metrics.total(admin.DELIVERED) == 8
    assert metrics.total("topic_joins_total") == 8


def test_order_of_20000_pushes_to_a_topic_over_three_workers(make_server):
    server = make_server(workers=3, **OPEN)
    count = 20000
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, [f"u{n}" for n in range(6)])
        swarm_join(swarm, clients, "order")
        assert len({server.admin.user(f"u{n}")[0]["worker"] for n in range(6)}) >= 2

        def publish():
            for start in range(0, count, 1000):
                server.redis.publish_many((server.channel("topic:order"), b"\0\0\0\x6e%d" % n)
                                          for n in range(start, start + 1000))

        publisher = threading.Thread(target=publish, daemon=True)
        publisher.start()
        last = b"%d" % (count - 1)
        swarm.pump(lambda: all(c.frames and c.frames[-1].payload[4:] == last for c in clients),
                   "the last push for everyone", timeout=3 * TIMEOUT)
        publisher.join()
        for client in clients:
            assert [int(m.payload) for m in client.messages()] == list(range(count))


def test_topics_and_users_in_any_order(make_server):
    """A connection with both gets each channel's pushes in their order."""
    server = make_server(workers=4, **OPEN)
    clients = [server.client(f"u{n}") for n in range(8)]
    for client in clients:
        join(client, "a", "b")
    for number in range(100):
        server.redis.publish_many(
            (server.channel(name), b"\0\0\0\x6e%s %d" % (name.encode(), number))
            for name in ["topic:a", "topic:b", "all", *(f"user:u{n}" for n in range(8))])
    for who, client in enumerate(clients):
        got = {}
        for _ in range(400):
            name, number = client.recv_message().payload.decode().split()
            got.setdefault(name, []).append(int(number))
        assert got == {name: list(range(100)) for name in ("topic:a", "topic:b", "all",
                                                           f"user:u{who}")}


def wakes_of(server, topic, count):
    """How often workers woke each other while so many pushes went to a topic, one by one."""
    before = server.admin.counter("wakes_total")
    client = server.clients[0]
    for _ in range(count):
        assert server.publish("topic:" + topic, {"op": 110}) == 1
        assert client.recv_message().op == 110
    return server.admin.counter("wakes_total") - before


def test_only_workers_with_members_are_woken(make_server):
    """None where the home has the only member, one for a push where another has it. (The probe
    wakes all of them every few seconds.)"""
    server = make_server(workers=4, **OPEN)
    client = server.client("u")
    home = server.home_of("user:u")
    assert server.admin.user("u")[0]["worker"] == home
    topics = [f"t{n}" for n in range(40)]
    near = next(t for t in topics if server.home_of("topic:" + t) == home)
    far = next(t for t in topics if server.home_of("topic:" + t) != home)
    join(client, near, far)
    assert wakes_of(server, near, 200) < 100
    assert wakes_of(server, far, 200) < 300


def test_full_table_of_topics_refuses_and_goes_on(make_server):
    """65,535 topics in one worker: the next SUB gets `unavailable`, and a member that leaves makes room."""
    server = make_server(workers=1, max_connections=1000, max_topics=1000, **OPEN)
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, [f"u{n}" for n in range(66)])
        for number, client in enumerate(clients):
            ask(client, SUB, *(f"{number}.{k}" for k in range(1000 if number < 65 else 900)))
        swarm.pump(lambda: all(c.frames for c in clients), "an answer for everyone")
        for client in clients[:65]:
            assert client.recv_message().op == SUBBED
        got = {m.op: m.json() for m in (clients[65].recv_message() for _ in range(2))}
        assert got[ERROR]["code"] == "unavailable" and len(got[SUBBED]["topics"]) == 535
        assert server.admin.metrics().total("topic_members") == 65535
        clients[0].close()
        wait_for(lambda: len(channels(server)) == 64535, "the first one's topics to be given up")
        join(clients[65], *(f"65.{k}" for k in range(850, 900)))
        assert server.publish("topic:65.899", {"op": 110}) == 1
        assert clients[65].recv_message().op == 110
        for client in clients:
            client.close()
    expect_no_channels(server)


# Empty topics.

def test_empty_topics_leave_nothing_behind(make_server):
    server = make_server(workers=4, **OPEN)
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, [f"u{n}" for n in range(50)])
        for number, client in enumerate(clients):
            ask(client, SUB, *(f"t{(number + k) % 70}" for k in range(20)))
        swarm.pump(lambda: all(c.frames for c in clients), "SUBBED for everyone")
        assert len(channels(server)) == 69
        for client in clients:
            client.close()
    expect_no_channels(server)
    metrics = server.admin.metrics()
    assert metrics.total("topic_joins_total") == metrics.total("topic_leaves_total") == 1000
    assert metrics.total("topic_members") == 0


# Deaths.

def test_each_worker_killed_while_members_listen(mortal):
    server = mortal(workers=4, **OPEN)
    topics = [f"room:{n}" for n in range(6)]
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, [f"u{n}" for n in range(80)])
        swarm_join(swarm, clients, *topics)
        publisher = Publisher(server, topics, "topic")
        publisher.start()
        for worker in server.admin.workers():
            swarm.pump_for(0.2)
            server.kill_worker(worker)
        swarm.pump_for(0.2)
        rounds = publisher.finish()
        last = b"%s %d" % (topics[-1].encode(), rounds - 1)
        want = rounds * len(topics)
        swarm.pump(lambda: all(len(c.frames) >= want for c in clients), f"the last push, {last}")
        repeats = check_received(clients, rounds, topics)
        assert publisher.unheard == 0, "the subscriptions outlive the workers"
        assert repeats <= 4 * len(clients) * len(topics), f"{repeats} repeats"
        assert server.admin.connections() == 80
        # What the successors know they can give up, too.
        for client in clients[:40]:
            leave(client, *topics)
        for client in clients[40:]:
            client.close()
    expect_no_channels(server)
    assert server.admin.metrics().total("topic_members") == 0


def test_workers_killed_while_topics_are_joined_and_left(mortal):
    """In the end every SUBBED has arrived and each topic reaches its members."""
    server = mortal(workers=3, **OPEN)
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, [f"u{n}" for n in range(40)])
        for turn, worker in enumerate(server.admin.workers() * 2):
            worker = server.admin.workers()[worker["slot"]]
            for number, client in enumerate(clients):
                if client.ended:
                    continue
                client.offer_bytes(frame(BINARY, encode_binary(SUB, json.dumps(
                    {"topics": [f"t{turn}.{number % 9}", f"own{number}"]}).encode())))
                client.offer_bytes(frame(BINARY, encode_binary(UNSUB, json.dumps(
                    {"topics": [f"t{turn - 1}.{number % 9}"]}).encode())))
            os.kill(worker["pid"], signal.SIGKILL)
            swarm.pump_for(0.1)
            wait_for(server.admin.ready, "/readyz 200")
        swarm.pump_for(0.3)
        left = [client for client in clients if not client.ended]
        assert len(left) >= 10, "only clients whose SUB was in the dead worker may be closed"
        for client in left:
            client.frames.clear()
            number = clients.index(client)
            ask(client, SUB, f"own{number}", f"t5.{number % 9}")
            want = {f"own{number}", f"t5.{number % 9}"}
            while True:
                message = client.recv_message()
                if message.op == SUBBED and set(message.json()["topics"]) == want:
                    break
        for client in left:
            assert server.publish(f"topic:own{clients.index(client)}", {"op": 110}) == 1
        for client in left:
            until(client, 110)
        wait_for(lambda: len([c for c in channels(server) if not c.startswith("t5.")])
                 == len(left), "the topics that were left to be given up")
        for client in clients:
            client.close()
    expect_no_channels(server)
    wait_for(lambda: server.admin.metrics().total("topic_members") == 0, "no membership left")


def test_subbed_waits_for_redis_and_comes(mortal, own_redis):
    """Redis stopped: no SUBBED, whichever worker dies meanwhile. Redis goes on: SUBBED, and live."""
    redis = own_redis().start()
    server = mortal(workers=3, redis_server=redis, **OPEN)
    clients = [server.client(f"u{n}") for n in range(9)]
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        for number, client in enumerate(clients):
            ask(client, SUB, f"own{number}", "room")
            client.expect_silence()
        for worker in server.admin.workers():
            server.kill_worker(worker)
        for client in clients:
            client.expect_silence()
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    for number, client in enumerate(clients):
        message = client.recv_message()
        assert message.op == SUBBED
        assert message.json() == {"topics": [f"own{number}", "room"]}
    for number in range(len(clients)):
        assert server.publish(f"topic:own{number}", {"op": 110, "data": number}) == 1
    for number, client in enumerate(clients):
        assert until(client, 110).json() == number


def test_redis_killed_and_started_again(make_server, own_redis):
    """GAP, then every topic reaches its members again; requests made meanwhile are answered afterwards."""
    redis = own_redis().start()
    server = make_server(workers=3, redis_server=redis, **OPEN)
    clients = [server.client(f"u{n}") for n in range(12)]
    topics = [f"t{n}" for n in range(12)]
    for number, client in enumerate(clients):
        join(client, topics[number], "room")
    redis.kill()
    ask(clients[0], SUB, "late")
    ask(clients[1], UNSUB, "room")
    assert clients[1].recv_message().op == UNSUBBED
    redis.start()
    wait_for(server.admin.ready, "/readyz 200")
    wait_for(lambda: channels(server) == {*topics, "room", "late"}, "every topic again")
    for client in clients:
        until(client, GAP)
    assert server.publish("topic:room", {"op": 110, "data": "room"}) == 1
    for number, topic in enumerate(topics):
        assert server.publish("topic:" + topic, {"op": 111, "data": number}) == 1
    for number, client in enumerate(clients):
        want = {(111, number)} if number == 1 else {(111, number), (110, "room")}
        while want:
            message = client.recv_message()
            want.discard((message.op, message.json()) if message.op >= 110 else None)
    assert server.publish("topic:late", {"op": 112}) == 1
    until(clients[0], 112)


def test_gap_reaches_members_whose_topics_home_lost_its_link(make_server):
    """One worker's link is cut by Redis: members on the other workers are told, the rest is not."""
    server = make_server(workers=3, **OPEN)
    members = [server.client(f"m{n}") for n in range(12)]
    others = [server.client(f"o{n}") for n in range(12)]
    for member in members:
        join(member, *(f"t{n}" for n in range(12)))
    worker = {user["worker"] for n in range(12) for user in server.admin.user(f"m{n}")}
    assert worker == {0, 1, 2}
    boot = members[0].hello["conn"].split("-")[0].rjust(8, "0")
    links = {c["name"]: c["id"] for c in server.redis.client.client_list()}
    server.redis.client.client_kill_filter(_id=links[f"wspushd-{boot}-2"])
    for member in members:
        assert member.recv_message().op == GAP
    wait_for(server.admin.ready, "/readyz 200")
    for number in range(12):
        assert server.publish(f"topic:t{number}", {"op": 110}) == 1
    for member in members:
        for _ in range(12):
            until(member, 110)
    for number, other in enumerate(others):
        if server.admin.user(f"o{number}")[0]["worker"] != 2:
            other.expect_silence()
