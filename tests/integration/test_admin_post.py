"""POST /api/push and /api/kick: what they do, what they answer, and that they hold nobody up."""

import json
import os
import signal
import threading
import time

import pytest

from harness.net import open_socket
from harness.process import descriptors
from harness.wait import wait_for


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


# Push.

def test_a_push_reaches_every_device_of_the_user(server, user):
    first, second = server.client(user), server.client(user, mode="json")
    assert push(server, user=user, op=110, data={"我": [1, None]}) == \
        {"user": user, "nodes": 1, "online": True}
    assert first.recv_message().json() == second.recv_message().json() == {"我": [1, None]}
    first.expect_silence()


def test_a_user_who_is_offline_is_told_so(server, user):
    assert push(server, user=user, op=110, data=1) == {"user": user, "nodes": 0, "online": False}


def test_many_users_each_with_what_became_of_it(server, user):
    online, away = [f"{user}-{i}" for i in range(3)], [f"{user}-away-{i}" for i in range(2)]
    clients = [server.client(name) for name in online]
    assert push(server, users=[*online, *away], op=111, text="hello") == {
        "users": [{"user": name, "nodes": 1, "online": True} for name in online]
        + [{"user": name, "nodes": 0, "online": False} for name in away]}
    for client in clients:
        assert client.recv_message().bytes() == b"hello"
        client.expect_silence()


def test_all(server, user):
    clients = [server.client(f"{user}-{i}") for i in range(4)]
    assert push(server, all=True, op=110, b64="AAEC") == {"nodes": 1}
    for client in clients:
        assert client.recv_message().bytes() == b"\0\1\2"


def test_every_node_gets_it(make_server, user):
    first, second = make_server(prefix="two:"), make_server(prefix="two:")
    here, there = first.client(user), second.client(user)
    assert push(first, user=user, op=110, data="both")["nodes"] == 2
    assert here.recv_message().json() == there.recv_message().json() == "both"


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
    ({"op": 110}, "exactly one of user, users and all"),
    ({"user": "1", "all": True, "op": 110}, "exactly one of user, users and all"),
    ({"user": "", "op": 110}, "no user name"), ({"user": 42, "op": 110}, "no user name"),
    ({"user": "x" * 64, "op": 110}, "no user name"), ({"user": "a\nb", "op": 1}, "no user name"),
    ({"user": "a\0b", "op": 110}, "no user name"), ({"user": "x" * 10000, "op": 1}, "no user name"),
    ({"users": [], "op": 110}, "users is not"), ({"users": "1", "op": 110}, "users is not"),
    ({"users": ["1", ""], "op": 110}, "users is not"),
    ({"users": ["1"] * 1001, "op": 110}, "users is not"),
    ({"all": False, "op": 110}, "all can only be true"), ({"all": 1, "op": 110}, "all can only"),
    ({"user": "1"}, "no op"), ({"user": "1", "op": "110"}, "no op"),
    ({"user": "1", "op": 16777216}, "within 0 to 16777215"),
    ({"user": "1", "op": 110, "text": "a", "data": 1}, "more than one of"),
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
    request = (b"POST /api/push HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
               % (len(body), body))
    sock = open_socket(server.admin.address)
    raw = b""
    for turn in range(100):
        sock.sendall(request)
        while raw.count(b"200 OK") <= turn or not raw.endswith(b"}"):
            raw += sock.recv(65536)
        assert client.recv_message().json() == 1
    sock.close()
    client.expect_silence()  # the last push is committed, or it might come twice
    before = descriptors(server.pid)
    server.workers_may_change = True
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    # A place that was not given back would close somebody's socket now.
    wait_for(lambda: server.admin.ready(), "the successors")
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
    ("", "JSON"), ("{", "JSON"), ([], "user"), ({}, "user"), ({"user": 1}, "user"),
    ({"user": "x" * 64}, "user"), ({"user": "1", "code": 1000}, "code"),
    ({"user": "1", "code": 5000}, "code"), ({"user": "1", "code": "4001"}, "code"),
    ({"user": "1", "code": 4001.5}, "code"), ({"user": "1", "reason": 1}, "reason"),
])
def test_a_wrong_kick_is_named(server, body, error):
    response = post(server, "/api/kick", body)
    assert response.status == 400 and error in response.json()["error"]


# Who may.

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
    assert push(server, user=user, op=110) == {"user": user, "nodes": 0, "online": False}


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
