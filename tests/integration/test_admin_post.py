"""POST /api/push and /api/kick: their effects and answers, and that they delay no other client."""

import json
import os
import signal
import threading
import time

import pytest

from harness.client import SUB, SUBBED
from harness.net import open_socket
from harness.process import descriptors, memory
from harness.server import write_conf
from harness.wait import SANITIZED, TIMEOUT, wait_for


def post(server, path, body, **kwargs):
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body, ensure_ascii=False)
    body = body.encode() if isinstance(body, str) else body
    headers = [("Content-Type", "application/json"), *kwargs.pop("headers", ())]
    return server.admin.get(path, method="POST", body=body, headers=headers, **kwargs)


def push(server, **body):
    response = post(server, "/api/push", body)
    assert response.status == 200, response.body
    return response.json()


def became(nodes=1, reports=None, delivered=0, queued=0, slow=0, closed=0, no_connection=0):
    """Returns the answer's report on a push."""
    return {"nodes": nodes, "reports": nodes if reports is None else reports,
            "delivered": delivered, "queued": queued,
            "dropped": {"slow": slow, "closed": closed, "no_connection": no_connection}}


def of_user(user, nodes=1, **kwargs):
    return {"user": user, "online": nodes > 0, **became(nodes, **kwargs)}


# Push.

def test_a_push_reaches_every_device_of_the_user(server, user):
    first, second = server.client(user), server.client(user, mode="json")
    assert push(server, user=user, op=110, data={"我": [1, None]}) == of_user(user, delivered=2)
    assert first.recv_message().json() == second.recv_message().json() == {"我": [1, None]}
    first.expect_silence()


def test_a_user_who_is_offline_is_told_so(server, user):
    assert push(server, user=user, op=110, data=1) == of_user(user, nodes=0)


def test_many_users_each_with_what_became_of_it(server, user):
    online, away = [f"{user}-{i}" for i in range(3)], [f"{user}-away-{i}" for i in range(2)]
    clients = [server.client(name) for name in online]
    assert push(server, users=[*online, *away], op=111, text="hello") == {
        "users": [of_user(name, delivered=1) for name in online]
        + [of_user(name, nodes=0) for name in away]}
    for client in clients:
        assert client.recv_message().bytes() == b"hello"
        client.expect_silence()


def test_all(server, user):
    clients = [server.client(f"{user}-{i}") for i in range(4)]
    assert push(server, all=True, op=110, b64="AAEC") == {"all": True, **became(delivered=4)}
    for client in clients:
        assert client.recv_message().bytes() == b"\0\1\2"


def test_every_node_gets_it(make_server, user):
    first, second = make_server(prefix="two:"), make_server(prefix="two:")
    here, there = first.client(user), second.client(user)
    assert push(first, user=user, op=110, data="both") == of_user(user, nodes=2, delivered=2)
    assert here.recv_message().json() == there.recv_message().json() == "both"


def join(client, topic):
    client.send_message(SUB, json.dumps({"topics": [topic]}).encode())
    assert client.recv_message().op == SUBBED


def test_a_topic_in_sums_over_workers_and_nodes(make_server, user):
    """Each worker with members reports, and the topic's home whether it has any or not."""
    nodes = [make_server(prefix="topics:", workers=3, topics=["*"]) for _ in range(2)]
    members = [node.client(f"{user}-{i}") for node in nodes for i in range(9)]
    others = [node.client(f"{user}-other") for node in nodes]
    for number, topic in enumerate(["room", "我们", 'q"\\', "x" * 128]):
        assert push(nodes[0], topic=topic, op=110) == {"topic": topic, **became(nodes=0)}
        for member in members:
            join(member, topic)
        assert push(nodes[1], topic=topic, op=110, data=number) == \
            {"topic": topic, **became(nodes=2, delivered=18)}
        for member in members:
            assert member.recv_message().json() == number
    for other in others:
        other.expect_silence()


def test_all_in_sums_over_workers_and_nodes(make_server, user):
    nodes = [make_server(prefix="sums:", workers=workers) for workers in (1, 4)]
    assert push(nodes[0], all=True, op=110) == {"all": True, **became(nodes=0)}
    clients = [node.client(f"{user}-{i}") for node in nodes for i in range(10)]
    assert push(nodes[0], all=True, op=110, data=1) == {"all": True, **became(nodes=2, delivered=20)}
    for client in clients:
        assert client.recv_message().json() == 1


def test_only_whom_it_was_for_is_counted(server, user):
    first, second = server.client(user), server.client(user)
    name = first.hello["conn"]
    assert push(server, user=user, op=110, conn=name) == of_user(user, delivered=1)
    assert push(server, all=True, op=110, **{"except": name})["delivered"] == 1
    assert push(server, user=user, op=110, conn="0-1-2") == of_user(user, no_connection=1)
    first.recv_message(), second.recv_message()


def slow_node(make_server, **config):
    """A node with a client that does not read, so that some of what it was sent waits."""
    node = make_server(send_buffer=16384, queue_limit=65536, **config)
    client = node.client("slow", receive_buffer=4096)
    while push(node, user="slow", op=110, text="." * 4000)["queued"] == 0:
        pass
    return node, client


def test_what_waits_is_queued_and_not_delivered(make_server):
    node, slow = slow_node(make_server)
    assert push(node, user="slow", op=110, text="x") == of_user("slow", queued=1)
    good = node.client("slow")
    assert push(node, user="slow", op=110, text="x") == of_user("slow", queued=1, delivered=1)
    assert push(node, all=True, op=110, text="x") == {"all": True, **became(queued=1, delivered=1)}
    assert [good.recv_message().payload for _ in range(2)] == [b"x"] * 2
    while slow.recv_message().payload != b"x":
        pass


def test_a_push_that_ends_a_slow_client_is_dropped_with_it(make_server):
    node, _ = slow_node(make_server)
    assert push(node, user="slow", op=110, text="x" * 70000) == of_user("slow", slow=1)
    assert node.admin.counter("pushes_dropped_total", reason="slow") > 1, "and all that waited"
    wait_for(lambda: push(node, user="slow", op=110) == of_user("slow", nodes=0), "its end")


def test_the_oldest_are_dropped_and_the_push_that_drops_them_waits(make_server):
    node, slow = slow_node(make_server, slow_policy="drop_oldest")
    for number in range(30):
        answer = push(node, user="slow", op=111, text=f"{number:04000}")
        assert answer == of_user("slow", queued=1)
    assert node.admin.counter("pushes_dropped_total", reason="slow") > 0
    # Only what is partly sent stays, and that is larger than the limit with this one.
    assert push(node, user="slow", op=112, text="x" * 70000) == of_user("slow", slow=1)
    assert push(node, user="slow", op=113) == of_user("slow", queued=1)
    got = set()
    while 113 not in got:
        got.add(slow.recv_message().op)
    assert 112 not in got


def test_a_subscriber_that_is_no_node_is_not_waited_for_long(server, user, redis):
    """An older version, or a redis-cli that listens: PUBLISH counts it, and it reports nothing."""
    client = server.client(user)
    listener = redis.client.pubsub()
    listener.subscribe(server.channel("user:" + user))
    wait_for(lambda: server.subscribers(user) == 2, "the listener")
    began = time.monotonic()
    assert push(server, user=user, op=110, data=1) == \
        of_user(user, nodes=2, reports=1, delivered=1)
    assert time.monotonic() - began < 4
    listener.close()
    assert client.recv_message().json() == 1


def ticket_of(server, user, redis):
    """Returns the ticket and channel of a push that waits and is never reported on."""
    listener = redis.client.pubsub()
    listener.subscribe(server.channel("user:" + user))
    assert listener.get_message(timeout=TIMEOUT)["type"] == "subscribe"
    answers = []
    thread = threading.Thread(target=lambda: answers.append(push(server, user=user, op=110)))
    thread.start()
    ticket = json.loads(listener.get_message(timeout=TIMEOUT)["data"])["report"]
    return ticket, "report:" + "-".join(ticket.split("-")[:2]), thread, answers, listener


def test_what_is_no_report_of_this_push_changes_nothing(server, user, redis):
    ticket, channel, thread, answers, listener = ticket_of(server, user, redis)
    boot, worker, request, part = ticket.split("-")
    good = {"report": ticket, "from": "1-0", "delivered": 5}
    for wrong in (b"", b"{", b"[]", b"\xff", {}, {**good, "report": 1}, {**good, "from": "1"},
                  {**good, "from": "1-40"}, {**good, "delivered": -1}, {**good, "copies": "1"},
                  {**good, "report": f"{boot}-{worker}-{request}-1"},
                  {**good, "report": f"{boot}-{worker}-{int(request, 16) + 1:x}-{part}"},
                  {**good, "report": f"{int(boot, 16) ^ 1:x}-{worker}-{request}-{part}"},
                  {**good, "report": f"{boot}-{int(worker) ^ 1}-{request}-{part}"}):
        assert server.publish(channel, wrong) == 1
    for _ in range(3):  # a copy's, three times: it counts once, and no node has said all
        server.publish(channel, good)
    thread.join()
    assert answers == [of_user(user, nodes=1, reports=0, delivered=5)]
    listener.close()
    server.publish(channel, {**good, "copies": 0})  # too late


def test_a_node_has_said_all_when_its_copies_have(server, user, redis):
    ticket, channel, thread, answers, listener = ticket_of(server, user, redis)
    server.publish(channel, {"report": ticket, "from": "1-3", "queued": 1})
    server.publish(channel, {"report": ticket, "from": "1-2", "copies": 2, "closed": 2, "new": {}})
    server.publish(channel, {"report": ticket, "from": "1-3", "queued": 1})
    assert thread.is_alive()
    server.publish(channel, {"report": ticket, "from": "1-0", "delivered": 4})
    thread.join()
    assert answers == [of_user(user, nodes=1, delivered=4, queued=1, closed=2)]
    listener.close()


def test_a_report_goes_nowhere_but_where_its_ticket_says(server, user, redis):
    """A backend that asks for reports gets them on a report's channel and on no other."""
    client = server.client(user)
    listener = redis.client.pubsub()
    listener.psubscribe(server.channel("report:*"), "elsewhere*")
    assert [listener.get_message(timeout=TIMEOUT)["type"] for _ in range(2)] == ["psubscribe"] * 2
    assert server.push(user, 110, data=1, report="ab-0-1-2") == 1
    message = listener.get_message(timeout=TIMEOUT)
    assert message["channel"].decode() == server.channel("report:ab-0")
    assert json.loads(message["data"]).items() >= {
        "report": "ab-0-1-2", "copies": 0, "delivered": 1, "queued": 0}.items()
    client.recv_message()
    malformed = server.admin.counter("push_malformed_total", reason="bad_option")
    wrong = ["elsewhere", "ab-0-1", "ab-0-1-2-3", "AB-0-1-2", "ab-00-1-2", "ab-0-1-\\u0032", "",
             "123456789-0-1-2", "ab-0-1-2\n", None, 7, {}, ["ab-0-1-2"]]
    for ticket in wrong:
        server.publish("user:" + user,
                       json.dumps({"op": 110, "report": ticket}).replace("\\\\", "\\"))
    client.expect_silence()
    assert server.admin.counter("push_malformed_total", reason="bad_option") == \
        malformed + len(wrong)
    listener.close()


def test_of_pushes_that_come_together_each_has_its_own_report(server, user, redis):
    """All in one turn of the worker, with others in between that ask nothing."""
    client, other = server.client(user), server.client(user)
    listener = redis.client.pubsub()
    listener.subscribe(server.channel("report:ab-0"))
    assert listener.get_message(timeout=TIMEOUT)["type"] == "subscribe"
    asks = {f"ab-0-1-{number:x}": {"conn": client.hello["conn"]} if number % 3 else {}
            for number in range(20)}
    pushes = []
    for ticket, options in asks.items():
        pushes += [{"op": 110}, {"op": 110, "report": ticket, **options}]
    server.redis.publish_many((server.channel("user:" + user), json.dumps(push)) for push in pushes)
    for ticket, options in asks.items():
        report = json.loads(listener.get_message(timeout=TIMEOUT)["data"])
        assert (report["report"], report["delivered"]) == (ticket, 1 if options else 2)
        assert [report[name] for name in ("queued", "slow", "closed", "no_connection")] == [0] * 4
    listener.close()
    for _ in pushes:
        client.recv_message()
    client.expect_silence(), other.pull()


def test_a_ticket_in_the_body_is_replaced(server, user):
    client = server.client(user)
    assert push(server, user=user, op=110, data=1, report="1-2-3-4") == of_user(user, delivered=1)
    assert client.recv_message().payload == b"1"


def test_with_another_number_of_workers_all_of_them_report(make_server, user):
    node = make_server(workers=2)
    node.workers_may_change = True
    clients = [node.client(f"{user}-{n}") for n in range(12)]
    for workers in (4, 1, 3):
        moved = node.log().count("event=moved ")
        node.config["workers"] = workers
        write_conf(node.conf_path, node.config, node.opcodes)
        node.signal(signal.SIGHUP)
        wait_for(lambda: node.log().count("event=moved ") == moved + 1, "the end of the move")
        wait_for(lambda: len(node.worker_pids()) == workers and node.admin.ready(), "the workers")
        for _ in range(8):  # each time any worker may answer
            assert push(node, all=True, op=110, data=1) == {"all": True, **became(delivered=12)}
            assert push(node, user=f"{user}-0", op=110) == of_user(f"{user}-0", delivered=1)
    for number, client in enumerate(clients):
        for _ in range(3 * 8 * (2 if number == 0 else 1)):
            client.recv_message()


def test_it_is_answered_although_the_worker_that_has_the_user_dies(make_server, user):
    """The answering worker may die, too, which breaks the connection; but no answer is wrong."""
    node = make_server(workers=2)
    node.workers_may_change = True
    client = node.client(user)
    answers, stop = [], threading.Event()

    def ask():
        try:
            answers.append(push(node, user=user, op=110, data=len(answers)))
            return answers[-1]
        except (OSError, AssertionError):
            return None  # it died with the question, or has no link to Redis yet

    def ask_on():
        while not stop.is_set():
            ask()

    thread = threading.Thread(target=ask_on)
    thread.start()
    for _ in range(5):
        seen = len(answers)
        wait_for(lambda: len(answers) > seen + 3, "some answers")
        home = node.admin.user(user)[0]["worker"]
        os.kill(node.admin.workers()[home]["pid"], signal.SIGKILL)
    stop.set()
    thread.join()
    assert all(answer == of_user(user, delivered=1) or answer["reports"] == 0 or answer["nodes"] == 0
               for answer in answers), answers
    wait_for(lambda: ask() == of_user(user, delivered=1), "all well again")
    client.pull()


def test_the_payload_passes_to_the_letter_and_options_take_effect(server, user):
    client, other = server.client(user), server.client(user)
    data = '{"b": 1.0,  "a":1e2,"a":"\\u6211"}'
    body = f'{{ "op":110, "user" : "{user}", "except":"{other.hello["conn"]}", "data": {data} }}'
    assert post(server, "/api/push", body).json()["online"]
    assert client.recv_message().payload == data.encode()
    other.expect_silence()


@pytest.mark.parametrize("name", ["我们", 'q"\\', "a/b c", "x" * 63])
def test_names_of_all_kinds(server, name):
    client = server.client(name)
    assert push(server, user=name, op=110)["user"] == name
    assert client.recv_message().payload == b""


@pytest.mark.parametrize("body, error", [
    ("", "JSON object"), ("[]", "JSON object"), ("{", "JSON object"), ("nonsense", "JSON object"),
    ('{"user":"1","op":110,}', "JSON object"), ("[" * 100000, "JSON object"),
    (b'{"user":"\xff","op":110}', "JSON object"),
    ({"op": 110}, "exactly one of user, users, topic and all"),
    ({"user": "1", "all": True, "op": 110}, "exactly one of"),
    ({"user": "1", "topic": "1", "op": 110}, "exactly one of"),
    ({"topic": "", "op": 110}, "topic must be a string of 1 to 128 bytes"), ({"topic": ["a"], "op": 110}, "topic must be a string of 1 to 128 bytes"),
    ({"topic": "x" * 129, "op": 110}, "topic must be a string of 1 to 128 bytes"), ({"topic": "a\x7f", "op": 1}, "topic must not have control"),
    ({"topic": "a\0b", "op": 110}, "topic must not have control"), ({"topic": None, "op": 110}, "topic must be a string of 1 to 128 bytes"),
    ({"topic": "x" * 10000, "op": 110}, "topic must be a string of 1 to 128 bytes"), ({"topic": "1"}, "op is missing"),
    ({"user": "", "op": 110}, "user must be a string of 1 to 63 bytes"), ({"user": 42, "op": 110}, "user must be a string of 1 to 63 bytes"),
    ({"user": "x" * 64, "op": 110}, "user must be a string of 1 to 63 bytes"), ({"user": "a\nb", "op": 1}, "user must not have control"),
    ({"user": "a\0b", "op": 110}, "user must not have control"), ({"user": "x" * 10000, "op": 1}, "user must be a string of 1 to 63 bytes"),
    ({"users": [], "op": 110}, "users has 0 elements: it must be an array of 1 to 1000"), ({"users": "1", "op": 110}, "users must be an array of 1 to 1000"),
    ({"users": ["1", ""], "op": 110}, "users[1] must be a string of 1 to 63 bytes"),
    ({"users": ["1"] * 1001, "op": 110}, "users has 1001 elements"),
    ({"all": False, "op": 110}, "all must be true, not false"), ({"all": 1, "op": 110}, "all must be true, not 1"),
    ({"user": "1"}, "op is missing"), ({"user": "1", "op": "110"}, "op must be an integer"),
    ({"user": "1", "op": 16777216}, "from 0 to 16777215"),
    ({"user": "1", "op": 110, "text": "a", "data": 1}, "only one of data, text and b64"),
    ({"user": "1", "op": 110, "report": "elsewhere"}, "report"),
    ({"user": "1", "op": 110, "b64": "?"}, "base64"), ({"user": "1", "op": 110, "ttl": "x"}, "ttl"),
])
def test_what_is_wrong_is_named_and_published_to_nobody(server, body, error):
    received = server.admin.counter("pushes_received_total")
    response = post(server, "/api/push", body)
    assert (response.status, response.header("Content-Type")) == (400, "application/json")
    assert error in response.json()["error"]
    assert server.admin.counter("pushes_received_total") == received


def test_a_push_beyond_max_push_is_refused(make_server, user):
    server = make_server(max_push=1024)
    client = server.client(user)
    assert post(server, "/api/push", {"user": user, "op": 110, "text": "x" * 1024}).status == 413
    assert push(server, user=user, op=110, text="x" * 900)["online"]
    assert len(client.recv_message().payload) == 900


def test_a_thousand_users_at_once(server, user):
    client = server.client(f"{user}-500")
    answer = push(server, users=[f"{user}-{i}" for i in range(1000)], op=110, data=1)["users"]
    assert [entry["user"] for entry in answer if entry["online"]] == [f"{user}-500"]
    assert client.recv_message().json() == 1


def test_many_requests_on_one_connection(server, user):
    """More than a slot has places for descriptors: the connection is noted once."""
    client = server.client(user)
    body = json.dumps({"user": user, "op": 110, "data": 1}).encode()
    request = (b"POST /api/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
               % (len(body), body))
    sock = open_socket(server.admin.address)
    raw = b""
    for turn in range(100):
        sock.sendall(request)
        while raw.count(b"200 OK") <= turn or not raw.endswith(b"}\n"):
            raw += sock.recv(65536)
        assert client.recv_message().json() == 1
    sock.close()
    client.expect_silence()  # the last push is committed, or it might come twice
    before = descriptors(server.pid)
    server.workers_may_change = True
    server.kill_workers()
    # A place that was not given back would close somebody's socket now.
    wait_for(lambda: server.admin.ready(), "/readyz 200")
    client.expect_silence()
    wait_for(lambda: descriptors(server.pid) <= before, "no descriptor more than before")


# Kick.

def test_kick_closes_every_connection_of_the_user(server, user):
    clients = [server.client(user), server.client(user, mode="json")]
    bystander = server.client(user + "-other")
    response = post(server, "/api/kick", {"user": user, "code": 4042, "reason": "没有 \"why\""})
    assert (response.status, response.json()) == (200, {"user": user, "nodes": 1})
    for client in clients:
        assert client.expect_close(4042) == (4042, "没有 \"why\"")
    bystander.expect_silence()


def test_kick_without_code_is_4001(server, user):
    client = server.client(user)
    post(server, "/api/kick", {"user": user})
    client.expect_close(4001)


def test_kick_reaches_every_node(make_server, user):
    first, second = make_server(prefix="kick:"), make_server(prefix="kick:")
    there = second.client(user)
    assert post(first, "/api/kick", {"user": user}).json()["nodes"] == 2
    there.expect_close(4001)


@pytest.mark.parametrize("body, error", [
    ("", "JSON"), ("{", "JSON"), ([], "JSON object"), ({}, "user is missing"), ({"user": 1}, "user"),
    ({"user": "x" * 64}, "user"), ({"user": "1", "code": 1000}, "code"),
    ({"user": "1", "code": 5000}, "code"), ({"user": "1", "code": "4001"}, "code"),
    ({"user": "1", "code": 4001.5}, "code"), ({"user": "1", "reason": 1}, "reason"),
])
def test_a_wrong_kick_is_named(server, body, error):
    response = post(server, "/api/kick", body)
    assert response.status == 400 and error in response.json()["error"]


# Authorization.

@pytest.mark.parametrize("path", ["/api/push", "/api/kick"])
def test_other_methods_are_405(server, path):
    for method in ("GET", "PUT", "DELETE"):
        response = server.admin.get(path, method=method)
        assert (response.status, response.header("Allow")) == (405, "POST")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil", "x"])
@pytest.mark.parametrize("path", ["/api/push", "/api/kick"])
def test_another_sites_page_is_refused(server, user, path, origin):
    client = server.client(user)
    response = post(server, path, {"user": user, "op": 110}, headers=[("Origin", origin)])
    assert response.status == 403
    client.expect_silence()


def test_a_page_of_its_own_is_not(server, user):
    response = post(server, "/api/push", {"user": user, "op": 110},
                    headers=[("Origin", "http://localhost")])  # as Host
    assert response.status == 200


# Redis is slow, or away.

def test_while_redis_hangs_nobody_waits_for_ever_and_nobody_else_waits(make_server, own_redis, user):
    redis = own_redis().start()
    server = make_server(redis_server=redis)
    echo = server.echo_client()
    redis.process.send_signal(signal.SIGSTOP)
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(
        post(server, "/api/push", {"user": user, "op": 110}))) for _ in range(5)]
    began = time.monotonic()
    for thread in asking:
        thread.start()
    while any(thread.is_alive() for thread in asking):
        turn = time.monotonic()
        echo.echo()
        assert server.admin.status("/healthz") == 200
        assert time.monotonic() - turn < 2
        time.sleep(0.05)
    assert [answer.status for answer in answers] == [504] * 5
    assert "Redis does not answer" in answers[0].json()["error"]
    assert 4 < time.monotonic() - began < 15
    redis.process.send_signal(signal.SIGCONT)
    # What Redis had read before is published late: the answer said that it may be.
    wait_for(lambda: server.admin.ready(), "readiness")
    client = server.client(user)
    wait_for(lambda: push(server, user=user, op=110, data=2)["online"], "a push that passes")
    messages = []
    wait_for(lambda: client.pull() or messages.extend(client.messages()) or
             [m for m in messages if m.op == 110], "the push")


def test_a_client_that_is_gone_meanwhile_does_no_harm(make_server, own_redis, user):
    redis = own_redis().start()
    server = make_server(redis_server=redis)
    body = json.dumps({"users": [user, "2", "3"], "op": 110}).encode()
    redis.process.send_signal(signal.SIGSTOP)
    for reset in (False, True):
        for _ in range(20):
            sock = open_socket(server.admin.address)
            sock.sendall(b"POST /api/push HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
                         % (len(body), body))
            if reset:
                sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a RST
            sock.close()
    assert server.admin.status("/healthz") == 200
    redis.process.send_signal(signal.SIGCONT)
    wait_for(lambda: server.admin.ready(), "readiness")
    assert push(server, user=user, op=110) == of_user(user, nodes=0)


def test_without_redis_it_is_503_at_once(make_server, own_redis, user):
    redis = own_redis().start()
    server = make_server(redis_server=redis)
    redis.kill()
    response = wait_for(lambda: (r := post(server, "/api/push", {"user": user, "op": 110})).status
                        == 503 and r, "503")
    assert "Redis" in response.json()["error"]
    assert post(server, "/api/kick", {"user": user}).status == 503
    redis.start()
    wait_for(lambda: server.admin.ready(), "readiness")
    wait_for(lambda: post(server, "/api/push", {"user": user, "op": 110}).status == 200, "200")


def test_redis_dies_with_the_question(make_server, own_redis, user):
    redis = own_redis().start()
    server = make_server(redis_server=redis)
    redis.process.send_signal(signal.SIGSTOP)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        post(server, "/api/push", {"users": [user, "b"], "op": 110})))
    thread.start()
    time.sleep(0.3)
    redis.process.kill()
    thread.join()
    assert answers[0].status == 503


def test_a_large_push_to_many_users_takes_the_memory_of_a_few(make_server, own_redis, user):
    """Each push is a separate PUBLISH and waits for Redis's reply: 400 of 100 kB are 40 MB."""
    redis = own_redis().start()
    server = make_server(redis_server=redis, workers=1)
    client = server.client(f"{user}-7")
    pid, = server.worker_pids()
    before = memory([pid])
    body = {"users": [f"{user}-{n}" for n in range(400)], "op": 110, "text": "x" * 100_000}
    answers = []
    thread = threading.Thread(target=lambda: answers.append(push(server, **body)))
    redis.process.send_signal(signal.SIGSTOP)
    try:
        thread.start()
        wait_for(lambda: memory([pid]) - before > 100_000, "it to begin")
        client.expect_silence()
        grown = memory([pid]) - before
    finally:
        redis.process.send_signal(signal.SIGCONT)
    thread.join()
    assert [part["online"] for part in answers[0]["users"]] == [n == 7 for n in range(400)]
    assert client.recv_message().bytes() == b"x" * 100_000
    if not SANITIZED:
        assert grown < 8 << 20
