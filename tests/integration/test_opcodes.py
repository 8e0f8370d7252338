"""The opcode protocol between one client and the server."""

import json
import re
import socket
import time

import pytest

from conftest import OPCODES
from harness.client import (ACCEPTED, AUTH, BYE, ERROR, GAP, HELLO, PING, PONG, SUB, SUBBED, UNSUB,
                            UNSUBBED, encode_binary)
from harness.frames import BINARY, CONTINUATION, TEXT, frame


@pytest.fixture(params=["binary", "json"])
def client(request, server, user):
    return server.client(user, request.param)


def expect_error(client, code, op=None):
    """An ERROR with its code, and its op where the request had one."""
    message = client.recv_message()
    assert message.op == ERROR, message
    error = message.json()
    assert error["code"] == code, error
    assert isinstance(error["message"], str) and error["message"]
    if op is not None:
        assert error["op"] == op, error
    return error


# HELLO.

def test_hello_says_what_the_contract_says(client, server):
    hello = client.hello
    assert isinstance(hello["conn"], str) and hello["conn"]
    assert hello["node"] == "node-a"
    assert hello["heartbeat"] == 60
    assert re.fullmatch(r"wspushd/\d+\.\d+\.\d+\S*", hello["server"])


def test_hello_names_the_user(server, user):
    assert server.client(user).hello["user"] == user


def test_hello_is_sent_once(client):
    client.expect_silence()
    client.expect_silence()


def test_each_connection_has_its_own_name(server, user):
    names = [server.client(user).hello["conn"] for _ in range(20)]
    assert len(set(names)) == 20


def test_name_of_a_connection_is_not_given_again(server, user):
    """Descriptors are used again; the names made of them must not be."""
    names = set()
    for _ in range(50):
        client = server.client(user)
        names.add(client.hello["conn"])
        client.close()
    assert len(names) == 50


def test_node_without_a_name_takes_the_hosts(make_server):
    assert make_server().client("u").hello["node"] == socket.gethostname()


# PING and PONG, as they came.

@pytest.mark.parametrize("payload", [b"", b"x", b'{"t":1}', "我们".encode(), b"\x00\xff" * 500])
def test_ping_of_binary_mode_is_echoed_as_pong(server, user, payload):
    client = server.client(user)
    client.send_message(PING, payload)
    assert client.recv_message() == (PONG, payload, "binary")


@pytest.mark.parametrize("payload, form, value", [
    ({}, "none", None),
    ({"data": {"t": [1, None, "我"]}}, "data", {"t": [1, None, "我"]}),
    ({"data": 17}, "data", 17),
    ({"data": None}, "data", None),
    ({"text": "no JSON"}, "text", "no JSON"),
    ({"text": '{"t":1}'}, "text", '{"t":1}'),
    ({"b64": b"\x00\xff"}, "b64", b"\x00\xff"),
], ids=str)
def test_ping_of_json_mode_is_echoed_as_pong(server, user, payload, form, value):
    client = server.client(user, "json")
    client.send_json(PING, **payload)
    assert client.recv_message() == (PONG, value, form)


def test_pong_is_let_pass_and_not_answered(client):
    if client.mode == "json":
        client.send_json(PONG, text="unasked")
    else:
        client.send_message(PONG, b"unasked")
    client.expect_silence()


# ERROR.

@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0", b"\0\0\0"], ids=len)
def test_message_shorter_than_an_opcode_is_an_error_and_no_crash(server, user, payload):
    client = server.client(user)
    client.send_frame(BINARY, payload)
    expect_error(client, "short_message")
    client.expect_silence()


def test_short_message_in_fragments_is_an_error(server, user):
    client = server.client(user)
    client.send_bytes(frame(BINARY, b"\0", fin=False) + frame(CONTINUATION, b"\0"))
    expect_error(client, "short_message")
    client.expect_silence()


UNKNOWN = [12, 50, 99, 106, 111, 16777215]


@pytest.mark.parametrize("op", UNKNOWN)
def test_unknown_opcode_is_an_error_that_names_it(client, op):
    if client.mode == "json":
        client.send_json(op, data={"a": 1})
    else:
        client.send_message(op, b"payload")
    expect_error(client, "unknown_opcode", op)
    client.expect_silence()


@pytest.mark.parametrize("op", [16777216, 0x80000000, 0xFFFFFFFF])
def test_opcode_out_of_range_is_an_error(server, user, op):
    client = server.client(user)
    client.send_message(op, b"payload")
    expect_error(client, "unknown_opcode", op)
    client.expect_silence()


@pytest.mark.parametrize("op", [ERROR, HELLO, SUBBED, UNSUBBED, ACCEPTED, GAP, BYE])
def test_opcodes_that_only_the_server_sends_are_refused(client, op):
    if client.mode == "json":
        client.send_json(op, data={})
    else:
        client.send_message(op, b"{}")
    message = client.recv_message()
    assert message.op == ERROR
    assert message.json()["code"] in ("unknown_opcode", "forbidden")
    client.expect_silence()


@pytest.mark.parametrize("text", [
    "", " ", "null", "17", "[]", '"op"', "{}", '{"data":1}', '{"op":"2"}', '{"op":null}',
    '{"op":-1}', '{"op":2.5}', '{"op":1e2}', '{"op":16777216}', '{"op":99999999999999999999}',
    '{"op":2,"data":1,"text":"a"}', '{"op":2,"text":"a","b64":"YQ=="}', '{"op":2,"text":1}',
    '{"op":2,"b64":"not base64"}', '{"op":2,"b64":"YQ"}', '{"op":2,"b64":5}', '{"op":2,}',
    '{"op":2} {"op":2}', "{'op':2}", '{"op":02}', '{"op":2,"data":[1,}', "{" * 200,
    '{"op":2,"text":"\\ud800"}', '{"op":2,"data":"\x01"}', "[" * 5000,
])
def test_json_message_that_is_none_is_an_error_and_no_crash(server, user, text):
    client = server.client(user, "json")
    client.send_frame(TEXT, text.encode())
    message = client.recv_message()
    assert message.op == ERROR
    assert message.json()["code"] in ("bad_payload", "short_message", "unknown_opcode")
    client.expect_silence()


def test_member_that_is_unknown_is_ignored(server, user):
    client = server.client(user, "json")
    client.send_frame(TEXT, b' { "id" : 7 , "op" : 2 , "more" : {"op":3}, "data" : [ 1 ] } ')
    assert client.recv_message() == (PONG, [1], "data")


def test_errors_do_not_end_the_connection_however_many(server, user):
    client = server.client(user)
    client.send_bytes(frame(BINARY, b"") * 300)
    for _ in range(300):
        expect_error(client, "short_message")
    client.expect_silence()


# Application opcodes: to = echo and drop.

def test_the_16_bytes_of_the_contract(server, user):
    wire = bytes.fromhex("0000006ee68891e4bbace983bde5a5bd")
    assert len(wire) == 16 and wire == encode_binary(110, "我们都好".encode())
    client = server.client(user)
    client.send_frame(BINARY, wire)
    assert client.recv_data() == (BINARY, wire)


@pytest.mark.parametrize("payload", [b"", b"a", b"\x00\xff\xfe", b"x" * 3000], ids=len)
def test_echo_gives_any_payload_back(server, user, payload):
    client = server.client(user)
    client.send_message(100, payload)
    assert client.recv_message() == (100, payload, "binary")


@pytest.mark.parametrize("payload, form, value", [
    ({}, "none", None),
    ({"data": {"a": [1, 2.5, "ü", None, True]}}, "data", {"a": [1, 2.5, "ü", None, True]}),
    ({"data": "a string"}, "data", "a string"),
    ({"text": "我们都好"}, "text", "我们都好"),
    ({"text": 'line\nbreak "quote" \\ \u0001 \x7f'}, "text", 'line\nbreak "quote" \\ \u0001 \x7f'),
    ({"text": "\x00 is a byte like any other"}, "text", "\x00 is a byte like any other"),
    ({"text": "17"}, "text", "17"),
    ({"b64": bytes(range(256))}, "b64", bytes(range(256))),
], ids=str)
def test_echo_in_json_mode_keeps_the_form(server, user, payload, form, value):
    client = server.client(user, "json")
    client.send_json(100, **payload)
    assert client.recv_message() == (100, value, form)


def test_escapes_in_text_are_decoded(server, user):
    client = server.client(user, "json")
    client.send_frame(TEXT, rb'{"op":100,"text":"\u6211\ud83d\ude00\n\/"}')
    assert client.recv_message() == (100, "我\U0001f600\n/", "text")


def test_data_is_passed_on_to_the_letter(server, user):
    """Large numbers, the order of members, the way a number is written: nothing is re-encoded."""
    client = server.client(user, "json")
    data = b'{"b":1.0,"a":[1e3,12345678901234567890],"b2":"\\u00fc"}'
    client.send_frame(TEXT, b'{"op":100,"data":' + data + b"}")
    assert data in client.recv_data()[1]


def test_drop_takes_the_message_and_says_nothing(client):
    if client.mode == "json":
        client.send_json(101, data={"a": 1})
    else:
        client.send_message(101, b"anything")
    client.expect_silence()


# payload = json | utf8 | any.

@pytest.mark.parametrize("payload", [b"{}", b"null", b" [1] ", b'"\\u00fc"', b"-1.5e3"])
def test_json_payload_is_let_pass(server, user, payload):
    client = server.client(user)
    client.send_message(102, payload)
    assert client.recv_message() == (102, payload, "binary")


@pytest.mark.parametrize("payload", [
    b"", b"{", b"{}x", b"{} {}", b"'a'", b"nul", b"01", b"+1", b".5", b"1.", b'{"a":}', b"[1,]",
    b'{"a" 1}', b'"\xff"', b'"\n"', b'"\\x"', b'"\\ud800"', b"\xef\xbb\xbf{}", b"NaN",
])
def test_payload_that_is_not_json_is_an_error(server, user, payload):
    client = server.client(user)
    client.send_message(102, payload)
    expect_error(client, "bad_payload", 102)
    client.expect_silence()


DEEP = {"open": b"[" * 100_000, "closed": b"[" * 100_000 + b"]" * 100_000,
        "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_json_nested_too_deeply_is_an_error_and_no_crash(servers, text):
    """Wherever a client's JSON is read: a payload, the messages of JSON mode, SUB, AUTH."""
    server = servers(max_message=1 << 20, topics=["*"], opcodes=OPCODES)
    binary, json_mode = server.client("b"), server.client("j", "json")
    for op in (102, SUB, UNSUB, AUTH):
        for payload in (text, b'{"topics":' + text + b"}", b'{"token":' + text + b"}"):
            binary.send_message(op, payload)
            expect_error(binary, "bad_payload", op)
    for message in (text, b'{"op":102,"data":' + text + b"}"):
        json_mode.send_frame(TEXT, message)
        expect_error(json_mode, "bad_payload")
    for client in (binary, json_mode):
        client.expect_silence()


def test_json_mode_payload_must_be_json_too(server, user):
    client = server.client(user, "json")
    client.send_json(102, data={"a": 1})
    assert client.recv_message() == (102, {"a": 1}, "data")
    client.send_json(102, text="not JSON")
    expect_error(client, "bad_payload", 102)
    client.send_json(102, b64=b"\xff")
    expect_error(client, "bad_payload", 102)


def test_utf8_payload_is_let_pass_and_other_bytes_are_an_error(server, user):
    client = server.client(user)
    client.send_message(103, "grüße 我 \U0001f600".encode())
    assert client.recv_message().payload == "grüße 我 \U0001f600".encode()
    for payload in (b"\xff", b"abc\xc3", b"\xed\xa0\x80"):
        client.send_message(103, payload)
        expect_error(client, "bad_payload", 103)
    client.expect_silence()


# max and rate.

def test_payload_of_max_is_let_pass_and_one_byte_more_is_an_error(client):
    send = {"binary": lambda size: client.send_message(104, b"a" * size),
            "json": lambda size: client.send_json(104, text="a" * size)}[client.mode]
    send(16)
    assert client.recv_message().bytes() == b"a" * 16
    send(17)
    expect_error(client, "too_large", 104)
    client.expect_silence()


def send_limited(client, count):
    """Sends `count` requests at once; returns how many were answered and how many refused."""
    client.send_bytes(frame(BINARY, encode_binary(105, b"r")) * count)
    got = [client.recv_message() for _ in range(count)]
    refused = [json.loads(m.payload) for m in got if m.op == ERROR]
    assert all(error["code"] == "rate_limited" and error["op"] == 105 for error in refused)
    return count - len(refused), len(refused)


def test_rate_is_held_on_one_connection_and_comes_back(server, user):
    client, other = server.client(user), server.client(user)
    answered, refused = send_limited(client, 60)
    assert 5 <= answered <= 15 and refused > 0
    client.send_message(100, b"another opcode")
    assert client.recv_message().op == 100
    assert send_limited(other, 5) == (5, 0), "the limit is for each connection"
    time.sleep(1.1)
    answered, _ = send_limited(client, 5)
    assert answered >= 4, "a second later it is allowed again"


def test_messages_are_counted(server, user):
    before = server.admin.counter("messages_received_total")
    client = server.client(user)
    for _ in range(10):
        client.send_message(100, b"x")
        client.recv_message()
    assert server.admin.counter("messages_received_total") == before + 10


def test_both_modes_meet_in_one_user(server, user):
    binary, text = server.client(user), server.client(user, "json")
    binary.send_message(PING, b"b")
    text.send_json(PING, data="t")
    assert binary.recv_message() == (PONG, b"b", "binary")
    assert text.recv_message() == (PONG, "t", "data")
