"""RFC 6455 frame by frame: errors that fail the connection, their codes, and valid input that must not."""

import random
import struct
import time

import pytest

from harness import frames as ws
from harness.client import PING, PONG, Closed, encode_binary, encode_json
from harness.frames import BINARY, CLOSE, CONTINUATION, TEXT, close_payload, frame
from harness.http import upgrade_head
from harness.wait import wait_for

MAX_MESSAGE = 65536

ENDPOINTS = ["echo", "binary", "json"]

MESSAGE = {
    "echo": (BINARY, b"any bytes"),
    "binary": (BINARY, encode_binary(PING, b"any bytes")),
    "json": (TEXT, encode_json(PING, text="any text")),
}
"""A message that each endpoint answers, so that what is wrong is only the frame."""


@pytest.fixture(params=ENDPOINTS)
def client(request, server, user):
    """A client at each endpoint in turn."""
    if request.param == "echo":
        return server.echo_client()
    return server.client(user, request.param)


def message(client, **wrong):
    """A message's frame in the client's mode."""
    opcode, payload = MESSAGE[client.mode]
    return frame(opcode, payload, **wrong)


def expect_answer(client):
    """The answer to MESSAGE."""
    opcode, payload = client.recv_data()
    if client.mode == "echo":
        assert (opcode, payload) == MESSAGE["echo"]
    else:
        assert client.decode(opcode, payload).op == PONG


def fails(client, data, *codes):
    """The bytes fail the connection with one of the codes, and nothing else comes before."""
    client.offer_bytes(data)
    client.expect_close(*codes)


# 1002, RFC 6455 §5.2: the header.

@pytest.mark.parametrize("rsv", range(1, 8))
def test_reserved_bits_fail_with_1002(client, rsv):
    fails(client, message(client, rsv=rsv), 1002)


@pytest.mark.parametrize("opcode", [*range(0x3, 0x8), *range(0xB, 0x10)], ids=hex)
def test_reserved_opcodes_fail_with_1002(client, opcode):
    fails(client, frame(opcode, b"x"), 1002)


def test_reserved_bits_of_a_control_frame_fail_with_1002(client):
    fails(client, frame(ws.PING, b"x", rsv=4), 1002)


def test_unmasked_frame_fails_with_1002(client):
    fails(client, message(client, masked=False), 1002)


def test_unmasked_control_frame_fails_with_1002(client):
    fails(client, frame(ws.PING, b"x", masked=False), 1002)


def test_masking_key_of_zeros_is_a_mask(client):
    client.send_bytes(message(client, key=b"\0\0\0\0"))
    expect_answer(client)


@pytest.mark.parametrize("bits, size", [(16, 0), (16, 1), (16, 125), (64, 0), (64, 125),
                                        (64, 126), (64, 65535)])
def test_length_not_in_its_shortest_form_fails_with_1002(client, bits, size):
    fails(client, frame(MESSAGE[client.mode][0], b"a" * size, length_bits=bits), 1002)


def test_length_with_its_top_bit_set_fails(client):
    """§5.2: the most significant bit must be 0. That it is also too big is as true."""
    fails(client, frame(MESSAGE[client.mode][0], b"", length_bits=64, length=1 << 63), 1002, 1009)


# 1002, RFC 6455 §5.5: control frames.

@pytest.mark.parametrize("opcode", [ws.PING, ws.PONG, CLOSE], ids=["ping", "pong", "close"])
def test_fragmented_control_frame_fails_with_1002(client, opcode):
    fails(client, frame(opcode, b"", fin=False), 1002)


@pytest.mark.parametrize("opcode", [ws.PING, ws.PONG, CLOSE], ids=["ping", "pong", "close"])
@pytest.mark.parametrize("size", [126, 65536])
def test_control_frame_above_125_bytes_fails_with_1002(client, opcode, size):
    fails(client, frame(opcode, close_payload(1000) + b"a" * (size - 2)), 1002)


def test_long_control_frame_fails_at_its_header(client):
    fails(client, frame(ws.PING, b"a" * 126)[:4], 1002)


# 1002, RFC 6455 §5.4: fragments.

@pytest.mark.parametrize("fin", [True, False])
def test_continuation_of_nothing_fails_with_1002(client, fin):
    fails(client, frame(CONTINUATION, b"x", fin=fin), 1002)


def test_continuation_after_a_whole_message_fails_with_1002(client):
    client.send_bytes(message(client))
    expect_answer(client)
    fails(client, frame(CONTINUATION, b"x"), 1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_new_message_within_a_message_fails_with_1002(client, opcode):
    fails(client, message(client, fin=False) + frame(opcode, b"x"), 1002)


# 1002 and 1007, RFC 6455 §7.4 and §5.5.1: close frames.

def test_close_with_half_a_code_fails_with_1002(client):
    fails(client, frame(CLOSE, b"\x03"), 1002)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
                                  65535])
def test_close_code_that_may_not_be_sent_fails_with_1002(client, code):
    fails(client, frame(CLOSE, close_payload(code)), 1002)


@pytest.mark.parametrize("reason", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", "ü".encode()[:1]])
def test_close_reason_that_is_not_utf8_fails(client, reason):
    fails(client, frame(CLOSE, close_payload(1000, reason)), 1002, 1007)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999,
                                  4000, 4999])
def test_close_is_answered_with_its_code(client, code):
    client.send_close(code, "auf Wiedersehen, Grüße".encode())
    client.expect_close(code)


def test_close_without_a_code_is_answered(client):
    client.send_frame(CLOSE)
    client.expect_close(1005, 1000)


def test_close_reason_of_123_bytes_is_let_pass(client):
    client.send_close(1000, b"r" * 123)
    client.expect_close(1000)


def test_nothing_after_a_close_is_answered(client):
    client.offer_bytes(frame(CLOSE, close_payload(1000)) + message(client) + frame(ws.PING, b"p"))
    client.expect_close(1000)


def test_what_came_before_a_close_is_answered_first(client):
    client.send_bytes(message(client) + frame(CLOSE, close_payload(1000)))
    expect_answer(client)
    client.expect_close(1000)


def test_close_within_a_fragmented_message_is_answered(client):
    client.send_bytes(message(client, fin=False) + frame(CLOSE, close_payload(1000)))
    client.expect_close(1000)


# 1003: the kind of message that a mode does not take.

def test_text_frame_in_binary_mode_closes_with_1003(server, user):
    fails(server.client(user), frame(TEXT, b'{"op":2}'), 1003)


def test_binary_frame_in_json_mode_closes_with_1003(server, user):
    fails(server.client(user, "json"), frame(BINARY, encode_binary(PING)), 1003)


def test_fragmented_text_in_binary_mode_closes_with_1003(server, user):
    fails(server.client(user), frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b"), 1003)


# 1007: text that is not UTF-8, at the first byte that tells.

NOT_UTF8 = [
    b"\x80", b"\xbf", b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xc2\x41", b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xef\xbf\x41", b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80",
    b"\xfe", b"\xff",
]


@pytest.fixture(params=["echo", "json"])
def text_client(request, server, user):
    return server.echo_client() if request.param == "echo" else server.client(user, "json")


@pytest.mark.parametrize("bad", NOT_UTF8, ids=bytes.hex)
def test_text_that_is_not_utf8_closes_with_1007(text_client, bad):
    fails(text_client, frame(TEXT, b'{"op":2,"text":"' + bad + b'"}'), 1007)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_text_that_ends_within_a_code_point_closes_with_1007(text_client, size):
    fails(text_client, frame(TEXT, b'{"op":2,"text":"' + "\U0001f600".encode()[:size]), 1007)


@pytest.mark.parametrize("bad", NOT_UTF8, ids=bytes.hex)
def test_wrong_byte_closes_before_its_frame_is_whole(text_client, bad):
    """The frame announces 1,000 bytes; those after the wrong one are never sent."""
    start = frame(TEXT, b"abc" + bad + b"d" * 1000)[:2 + 2 + 4 + 3 + len(bad)]
    fails(text_client, start, 1007)


def test_wrong_byte_in_a_later_fragment_closes_before_the_message_is_whole(text_client):
    text_client.send_bytes(frame(TEXT, b"abc\xe6\x88", fin=False))
    fails(text_client, frame(CONTINUATION, b"\x41", fin=False), 1007)


def test_code_point_may_be_cut_between_fragments(server):
    client = server.echo_client()
    text = "aé我\U0001f600z".encode()
    pieces = [text[at:at + 1] for at in range(len(text))]
    client.send_bytes(frame(TEXT, pieces[0], fin=False)
                      + b"".join(frame(CONTINUATION, piece, fin=False) for piece in pieces[1:])
                      + frame(CONTINUATION))
    assert client.recv_data() == (TEXT, text)


def test_binary_message_may_be_any_bytes(server):
    client = server.echo_client()
    payload = b"".join(NOT_UTF8)
    client.send_frame(BINARY, payload)
    assert client.recv_data() == (BINARY, payload)


# 1009: messages that are too big.

def test_message_of_max_message_is_let_pass(server, user):
    client = server.client(user)
    payload = random.randbytes(MAX_MESSAGE - 4)
    client.send_message(100, payload)
    assert client.recv_message() == (100, payload, "binary")
    echo = server.echo_client()
    echo.send_frame(TEXT, b"t" * MAX_MESSAGE)
    assert echo.recv_data() == (TEXT, b"t" * MAX_MESSAGE)


def test_message_above_max_message_closes_with_1009(client):
    fails(client, frame(MESSAGE[client.mode][0], b"a" * (MAX_MESSAGE + 1)), 1009)


@pytest.mark.parametrize("length", [MAX_MESSAGE + 1, 1 << 31, 1 << 32, (1 << 63) - 1])
def test_too_big_a_message_closes_at_its_header(client, length):
    fails(client, frame(MESSAGE[client.mode][0], b"", length_bits=64, length=length), 1009)


def test_fragments_that_are_too_big_together_close_with_1009(client):
    opcode = MESSAGE[client.mode][0]
    client.send_bytes(frame(opcode, b"a" * 40000, fin=False))
    fails(client, frame(CONTINUATION, b"a" * (MAX_MESSAGE - 40000 + 1), fin=False), 1009)


def test_fragments_of_max_message_together_are_let_pass(server):
    client = server.echo_client()
    client.send_bytes(frame(BINARY, b"a" * 40000, fin=False))
    client.send_bytes(frame(CONTINUATION, b"b" * (MAX_MESSAGE - 40000)))
    assert client.recv_data() == (BINARY, b"a" * 40000 + b"b" * (MAX_MESSAGE - 40000))


def test_max_message_is_settable(make_server):
    server = make_server(max_message=1000)
    client = server.echo_client()
    client.send_frame(BINARY, b"a" * 1000)
    assert client.recv_data() == (BINARY, b"a" * 1000)
    fails(client, frame(BINARY, b"a" * 1001), 1009)


# Valid frames are accepted, however they are split.

@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 7, 8, 9, 125, 126, 127, 4096, 65535, 65536])
def test_every_form_of_length_is_echoed(server, size):
    client = server.echo_client()
    payload = random.randbytes(size)
    client.send_frame(BINARY, payload)
    assert client.recv_data() == (BINARY, payload)


def test_one_byte_in_each_segment(client):
    for byte in message(client):
        client.send_bytes(bytes([byte]))
        time.sleep(0.0005)
    expect_answer(client)


def test_message_cut_in_two_at_every_place(client):
    data = message(client)
    for at in range(1, len(data)):
        client.send_bytes(data[:at])
        time.sleep(0.0005)
        client.send_bytes(data[at:])
        expect_answer(client)


def test_thousand_messages_in_one_segment_are_answered_in_order(server):
    client = server.echo_client()
    client.send_bytes(b"".join(frame(BINARY, b"%d" % n) for n in range(1000)))
    for n in range(1000):
        assert client.recv_data() == (BINARY, b"%d" % n)


def test_opcode_may_be_cut_between_fragments(server, user):
    client = server.client(user)
    data = encode_binary(100, b"payload")
    client.send_bytes(frame(BINARY, data[:2], fin=False) + frame(CONTINUATION, b"", fin=False)
                      + frame(CONTINUATION, data[2:5], fin=False) + frame(CONTINUATION, data[5:]))
    assert client.recv_message() == (100, b"payload", "binary")


def test_fragments_with_control_frames_between(client):
    opcode, payload = MESSAGE[client.mode]
    pieces = [payload[:3], payload[3:7], b"", payload[7:]]
    for number, piece in enumerate(pieces):
        client.send_frame(CONTINUATION if number else opcode, piece, fin=number == len(pieces) - 1)
        if number < len(pieces) - 1:
            client.send_frame(ws.PING, b"between %d" % number)
            assert client.recv_pong() == b"between %d" % number
            client.send_frame(ws.PONG, b"unasked")
    expect_answer(client)


def test_control_frame_cut_within_a_cut_message(client):
    """Each byte alone: a ping within a fragmented message, from its header on."""
    opcode, payload = MESSAGE[client.mode]
    stream = (frame(opcode, payload[:5], fin=False) + frame(ws.PING, b"in pieces")
              + frame(CONTINUATION, payload[5:]))
    for byte in stream:
        client.send_bytes(bytes([byte]))
        time.sleep(0.0003)
    assert client.recv_pong() == b"in pieces"
    expect_answer(client)


@pytest.mark.parametrize("payload", [b"", b"p", bytes(range(125))], ids=len)
def test_ping_is_answered_with_its_payload(client, payload):
    client.send_frame(ws.PING, payload)
    assert client.recv_pong() == payload


def test_many_pings_are_answered_in_order_up_to_the_last(client):
    """§5.5.3 lets a server answer only the most recent."""
    client.send_bytes(b"".join(frame(ws.PING, b"%03d" % n) for n in range(200)))
    last = b""
    while last != b"199":
        got = client.recv_pong()
        assert got > last
        last = got


def test_unasked_pong_is_ignored(client):
    client.send_bytes(frame(ws.PONG, b"nobody asked") + message(client))
    expect_answer(client)


def test_empty_messages_are_echoed(server):
    client = server.echo_client()
    for opcode in (TEXT, BINARY):
        client.send_frame(opcode)
        assert client.recv_data() == (opcode, b"")
        client.send_bytes(frame(opcode, b"", fin=False) + frame(CONTINUATION, b""))
        assert client.recv_data() == (opcode, b"")


# A connection's end harms nobody else.

def partial(client):
    """Bytes that leave something half done at the server."""
    return message(client)[:9]


@pytest.mark.parametrize("sent", ["nothing", "part of a frame", "part of a message", "a close"])
@pytest.mark.parametrize("end", ["fin", "reset", "half"])
def test_end_of_one_connection_harms_no_other(server, client, sent, end):
    other = server.echo_client()
    client.send_bytes({"nothing": b"", "part of a frame": partial(client),
                       "part of a message": message(client, fin=False),
                       "a close": frame(CLOSE, close_payload(1001))}[sent])
    if end == "half":
        client.half_close()
        client.drain()
    elif end == "reset":
        client.reset()
    client.close()
    other.echo()
    server.wait_connections(1)


def test_reset_before_the_answers_were_read_harms_nobody(server):
    other = server.echo_client()
    for _ in range(50):
        client = server.echo_client()
        client.send_bytes(b"".join(frame(BINARY, b"x" * 500) for _ in range(100)))
        client.reset()
        other.echo()
    server.wait_connections(1)


def garbage(rng):
    """A few hundred bytes of one of the kinds that a fuzzer thinks of."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 400))
    if kind == 1:
        return frame(rng.randrange(16), rng.randbytes(rng.randrange(130)),
                     rsv=rng.choice([0, 0, 4]), fin=rng.random() < 0.6,
                     masked=rng.random() < 0.8)
    if kind == 2:
        return b"".join(frame(rng.choice([0, 1, 2, 9, 10]), rng.randbytes(rng.randrange(40)),
                              fin=rng.random() < 0.5) for _ in range(rng.randrange(1, 8)))
    if kind == 3:
        data = bytearray(frame(BINARY, struct.pack(">I", rng.randrange(120)) + rng.randbytes(20)))
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(data)
    return frame(rng.choice([TEXT, BINARY]), rng.randbytes(rng.randrange(300)))[:rng.randrange(300)]


def broken_head(rng):
    head = bytearray(upgrade_head())
    for _ in range(rng.randrange(1, 4)):
        head[rng.randrange(len(head))] = rng.randrange(256)
    return bytes(head[:rng.randrange(len(head))] if rng.random() < 0.3 else head)


@pytest.mark.parametrize("seed", range(4))
def test_garbage_on_500_connections_beside_a_good_client(server, user, seed):
    rng = random.Random(seed)
    good, echo = server.client(user), server.echo_client()
    for number in range(500):
        client = server.raw()
        start = rng.choice([b"", broken_head(rng), upgrade_head("/echo"), upgrade_head("/echo"),
                            upgrade_head(f"/ws?user=g{rng.randrange(20)}"),
                            upgrade_head(f"/ws?user=g{rng.randrange(20)}",
                                         extra=[("Sec-WebSocket-Protocol", "push.json.v1")])])
        if start and rng.random() < 0.5:
            client.offer_bytes(start)
            time.sleep(0.0005)
            start = b""
        client.offer_bytes(start + garbage(rng))
        if rng.random() < 0.3:
            client.reset()
        elif rng.random() < 0.8:
            client.close()
        if number % 50 == 0:
            assert server.push(user, 110, text=str(number)) == 1
            assert good.recv_message().bytes() == str(number).encode()
            echo.echo(b"%d" % number)
    for client in server.clients:
        if client not in (good, echo):
            client.close()
    good.expect_silence()
    server.wait_connections(2)


def test_server_closes_its_side_although_the_peer_never_answers_the_close(server):
    """A peer that ignores the close frame must not keep the connection for ever."""
    client = server.echo_client()
    client.send_frame(0x3, b"reserved")
    assert client.recv_frame().opcode == CLOSE
    try:
        client.expect_end()
    except Closed:
        pass
    wait_for(lambda: server.admin.connections() == 0, "the connection to be gone")
