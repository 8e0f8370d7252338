"""Error messages name the cause: the value, the place, and the expected value."""

import json
import re

import pytest

from harness import frames as ws
from harness.client import ACCEPTED, AUTH, ERROR, SUB, SUBBED, UNSUB
from harness.server import opcode
from harness.wait import wait_for

from test_admin_post import post

RULES = [opcode(110, to="echo", payload="json", max=20), opcode(111, to="echo", payload="utf8"),
         opcode(112, to="echo", rate=1)]


def logged(server, event):
    """The last line of this event, as pairs."""
    lines = [line for line in server.log().splitlines() if f" event={event} " in line]
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', lines[-1]) if lines else []
    return {name: re.sub(r'\\(["\\])', r"\1", value[1:-1]) if value[:1] == '"' else value
            for name, value in pairs}


def count(server, where):
    return server.admin.counter("unknown_members_total", **{"in": where})


# Clients.

def refused(client, code):
    message = client.recv_message()
    assert message.op == ERROR and message.json()["code"] == code, message
    return message.json()


@pytest.fixture
def explained(make_server):
    return make_server(opcodes=RULES, topics=["room:*"], max_topics=4)


@pytest.mark.parametrize("text, why", [
    (b"nonsense", "expected a value at byte 0"),
    (b"[]", "not a JSON object"),
    (b'{"op":110,"data":{"a":1} "x":2}', "expected ',' or '}' at byte 25"),
    (b'{"data":1}', "op is missing"),
    (b'{"opcode":110,"data":1}', 'op is missing; unknown member "opcode": did you mean "op"'),
    (b'{"op":"110"}', 'op must be an integer from 0 to 16777215, not "110"'),
    (b'{"op":110,"data":1,"text":"a"}', "data and text: only one of data, text and b64 is allowed"),
    (b'{"op":110,"b64":"A*=="}', "b64 is not base64: invalid character at byte 1"),
])
def test_a_message_of_json_mode_that_is_none(explained, text, why):
    client = explained.client("u", "json")
    client.send_frame(ws.TEXT, text)
    assert refused(client, "bad_payload") == {"code": "bad_payload", "op": 0, "message": why}


def test_a_request_that_its_rule_refuses(explained):
    client = explained.client("u")
    for op, payload, code, why in (
            (110, b'{"a" 1}', "bad_payload", "the payload is not JSON: expected ':' at byte 5"),
            (110, b'"' + b"x" * 30 + b'"', "too_large",
             "the payload has 32 bytes, and opcode 110 takes at most 20"),
            (111, b"ab\xff", "bad_payload", "the payload is not UTF-8: byte 2 is invalid"),
            (4711, b"", "unknown_opcode", "no such opcode: push.conf does not declare 4711"),
            (5, b"", "unknown_opcode", "no such opcode: only the server sends SUBBED"),
            (AUTH, b'{"tokn":"x"}', "bad_payload",
             'token is missing; unknown member "tokn": did you mean "token"'),
            (AUTH, b'{"token":7}', "bad_payload", "token must be a string, not 7"),
            (AUTH, b'{"token":"x"}', "forbidden", "auth in push.conf does not name jwt")):
        client.send_message(op, payload)
        assert refused(client, code) == {"code": code, "op": op, "message": why}
    client.send_message(112)
    client.send_message(112)
    assert client.recv_message().op == 112
    assert refused(client, "rate_limited")["message"] == \
        "more than 1 a second with opcode 112 on this connection"


def test_sub_and_unsub_that_are_none(explained):
    client = explained.client("u")
    for op, payload, why in (
            (SUB, b'{"topics":["a"', "expected ',' or ']' at byte 14, the end of the text"),
            (SUB, b'{"topic":["a"]}',
             'topics is missing; unknown member "topic": did you mean "topics"'),
            (SUB, b'{"topics":"a"}', 'topics must be an array of strings, not "a"'),
            (UNSUB, b'{"topics":["a",42]}', "topics[1] must be a string, not 42"),
            (UNSUB, b"{}", "topics is missing")):
        client.send_message(op, payload)
        assert refused(client, "bad_payload")["message"] == why


def test_refused_topics_are_named(explained):
    client = explained.client("u")
    client.send_message(SUB, json.dumps(
        {"topics": ["room:1", "hall:2", "a\nb", "hall:3"]}).encode())
    assert refused(client, "bad_topic") == {
        "code": "bad_topic", "op": SUB, "topics": ["a\nb"],
        "message": 'topic "a\\nb": a name is 1 to 128 bytes of UTF-8 without control characters'}
    assert refused(client, "forbidden") == {
        "code": "forbidden", "op": SUB, "topics": ["hall:2", "hall:3"],
        "message": 'topic "hall:2": no pattern of `topics` in push.conf allows it'}
    assert client.recv_message().op == SUBBED
    other = explained.client("v")
    other.send_message(SUB, json.dumps({"topics": [f"room:{n}" for n in range(6)]}).encode())
    assert refused(other, "rate_limited") == {
        "code": "rate_limited", "op": SUB, "topics": ["room:4", "room:5"],
        "message": 'topic "room:4": more than 4 names a second (max_topics)'}


def test_without_topics_in_push_conf_sub_says_so(make_server):
    server = make_server()
    client = server.client("u")
    client.send_message(SUB, b'{"topics":["room:7"]}')
    assert refused(client, "forbidden") == {
        "code": "forbidden", "op": SUB, "topics": ["room:7"],
        "message": 'topic "room:7": push.conf has no `topics`'}


# Pushes.

@pytest.mark.parametrize("channel, push, reason, why", [
    ("user:{}", b'{"op":110,"data":{"a":1} "x":2}', "bad_json", "expected ',' or '}' at byte 25"),
    ("user:{}", b'{"opcode":110}', "no_op",
     'op is missing; unknown member "opcode": did you mean "op"'),
    ("user:{}", b'{"op":110,"ttl":"5"}', "bad_option",
     'ttl must be an integer from 0 to 4294967295, not "5"'),
    ("user:{}", b"hi", "short", "a raw frame must start with a 4-byte opcode; its length in bytes is 2"),
    ("user:{}", b"hello", "bad_op",
     "a raw frame's opcode must be at most 16777215, not 1751477356; an envelope begins with '{'"),
    ("users", b'{"op":110}', "bad_option", "users is missing: expected an array of user names"),
    ("users", b'{"op":110,"users":["a",42]}', "bad_option",
     "users[1] must be a string of 1 to 63 bytes, not 42"),
    ("all", b'{"op":110,"b64":"AAA"}', "bad_base64",
     "b64 is not base64: expected a multiple of 4 characters, padded with =, found 3"),
    ("topic:room:1", b'{"op":110,"text":1}', "bad_text", "text must be a string, not 1"),
], ids=lambda value: repr(value)[:40])
def test_a_malformed_push_is_logged_with_channel_and_cause(explained, user, channel, push, reason,
                                                           why):
    client = explained.client(user)
    client.send_message(SUB, b'{"topics":["room:1"]}')
    assert client.recv_message().op == SUBBED
    assert explained.publish(channel.format(user), push) == 1
    explained.push(user, 110, data="next")
    assert client.recv_message().json() == "next"
    wait_for(lambda: logged(explained, "push_malformed"), "the line")
    line = logged(explained, "push_malformed")
    assert line["channel"] == explained.channel(channel.format(user))
    assert (line["reason"], line["why"]) == (reason, why)


def test_an_unknown_member_is_counted_and_logged_once_and_the_push_delivered(explained, user):
    client = explained.client(user)
    for number in range(50):
        assert explained.push(user, 110, paylod=number) == 1
        assert client.recv_message() == (110, b"", "binary")
    explained.push(user, 110, data=1, trace="x")
    assert client.recv_message().json() == 1
    assert count(explained, "push") == 51
    wait_for(lambda: explained.log().count("event=unknown_member ") == 2, "two lines")
    lines = re.findall(r'event=unknown_member .*?why="((?:[^"\\]|\\.)*)"', explained.log())
    assert [line.replace('\\"', '"') for line in lines] == [
        'unknown member "paylod": did you mean "data"', 'unknown member "trace"']
    assert f"channel={explained.channel('user:' + user)}" in explained.log()


def test_an_unknown_member_counts_once_for_the_node(make_server, user):
    server = make_server(workers=3, topics=["t"])
    client = server.client(user)
    client.send_message(SUB, b'{"topics":["t"]}')
    assert client.recv_message().op == SUBBED
    server.publish("all", {"op": 110, "dta": 1})
    server.publish("users", {"op": 111, "users": [user], "dta": 1})
    server.publish("topic:t", {"op": 112, "dta": 1})
    assert {client.recv_message().op for _ in range(3)} == {110, 111, 112}
    assert count(server, "push") == 3


# Commands.

@pytest.mark.parametrize("command, why", [
    (b'{"kick":"42"', "expected ',' or '}' at byte 12, the end of the text"),
    (b"[]", "not a JSON object"),
    (b'{"kik":"42"}',
     'expected one of kick, kick_conn, sub, unsub; unknown member "kik": did you mean "kick"'),
    (b'{"kick":"42","sub":"42"}', "kick and sub: only one command is allowed"),
    (b'{"kick":42}', "kick must be a string of 1 to 63 bytes, not 42"),
    (b'{"kick":""}', 'kick must be a string of 1 to 63 bytes, not ""'),
    (b'{"kick":"4\\n2"}', "kick must not have control characters"),
    (b'{"kick":"42","code":1000}', "code must be an integer from 3000 to 4999, not 1000"),
    (b'{"kick":"42","reason":1}', "reason must be a string, not 1"),
    (b'{"kick_conn":"42"}', 'kick_conn must be the name of a connection, not "42"'),
    (b'{"sub":"42","topic":["a"]}',
     'topics is missing; unknown member "topic": did you mean "topics"'),
    (b'{"sub":"42","topics":[]}', "topics has 0 elements: it must be an array of one or more topic names"),
    (b'{"sub":"42","topics":["a",7]}', "topics[1] must be a string of 1 to 128 bytes, not 7"),
])
def test_a_malformed_command_is_logged_with_its_cause(explained, command, why):
    explained.publish("ctl", command)
    wait_for(lambda: logged(explained, "ctl_malformed"), "the line")
    line = logged(explained, "ctl_malformed")
    assert (line["channel"], line["why"]) == (explained.channel("ctl"), why)


def test_a_command_with_an_unknown_member_is_carried_out(explained, user):
    client = explained.client(user)
    explained.publish("ctl", {"kick": user, "cod": 4100, "reason": "out"})
    assert client.expect_close(4001)[1] == "out"
    wait_for(lambda: count(explained, "command") == 1, "the count")
    assert logged(explained, "unknown_member")["why"] == \
        'unknown member "cod": did you mean "code"'


# Admin HTTP.

@pytest.mark.parametrize("path, body, why", [
    ("push", '{"user":"42","op":110,"data":1', "the body is not a JSON object: expected ',' or '}' "
                                             "at byte 30, the end of the text"),
    ("push", "[]", "the body is not a JSON object"),
    ("push", '{"user":42,"op":110}', "user must be a string of 1 to 63 bytes, not 42"),
    ("push", '{"user":"","op":110}', 'user must be a string of 1 to 63 bytes, not ""'),
    ("push", '{"users":["a",42],"op":110}', "users[1] must be a string of 1 to 63 bytes, not 42"),
    ("push", '{"users":"a","op":110}', 'users must be an array of 1 to 1000 user names, not "a"'),
    ("push", '{"topic":7,"op":110}', "topic must be a string of 1 to 128 bytes, not 7"),
    ("push", '{"all":1,"op":110}', "all must be true, not 1"),
    ("push", '{"usr":"42","op":110}', "exactly one of user, users, topic and all is required; "
                                     'unknown member "usr": did you mean "user"'),
    ("push", '{"user":"42","all":true,"op":110}',
     "exactly one of user, users, topic and all is required, not user and all"),
    ("push", '{"user":"42","opcode":110}',
     'op is missing; unknown member "opcode": did you mean "op"'),
    ("push", '{"user":"42","op":110,"ttl":"5"}',
     'ttl must be an integer from 0 to 4294967295, not "5"'),
    ("kick", '{"user":42}', "user must be a string of 1 to 63 bytes, not 42"),
    ("kick", '{"usr":"42"}', 'user is missing; unknown member "usr": did you mean "user"'),
    ("kick", '{"user":"42","code":"4001"}', 'code must be an integer from 3000 to 4999, not "4001"'),
    ("kick", '{"user":"42","reason":7}', "reason must be a string, not 7"),
    ("kick", "{", "the body is not a JSON object: expected a name in quotes or '}' at byte 1, the "
                  "end of the text"),
])
def test_a_post_that_is_refused_is_told_why(server, path, body, why):
    response = post(server, "/api/" + path, body)
    assert (response.status, response.json()) == (400, {"error": why})


def test_a_post_with_an_unknown_member_is_done_and_warned_of(explained, user):
    client = explained.client(user)
    answer = post(explained, "/api/push", {"user": user, "op": 110, "paylod": 1}).json()
    assert answer["delivered"] == 1
    assert answer["warning"] == 'unknown member "paylod": did you mean "data"'
    assert client.recv_message().op == 110
    answer = post(explained, "/api/kick", {"user": user, "cod": 4100}).json()
    assert answer["warning"] == 'unknown member "cod": did you mean "code"'
    client.expect_close(4001)
    assert count(explained, "admin") == 2
    assert explained.log().count("event=unknown_member ") >= 2
