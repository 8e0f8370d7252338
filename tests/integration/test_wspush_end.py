"""wspush: its side of the protocol, the end of a connection, and reconnecting."""

import asyncio
import json
import queue
import re
import signal
import socket
import threading
import time
from http import HTTPStatus

import pytest

from harness.frames import BINARY, CLOSE, PONG, TEXT, close_payload, frame
from harness.wspush import (PATIENCE, RawPeer, binary, closing, hello, peer,  # noqa: F401
                            ready, refusing, sending, wspush)


# --- the protocol ---------------------------------------------------------------------------------


def test_pings_are_answered_with_their_payload(wspush, peer):
    async def handler(server, ws):
        await ws.send(hello())
        await (await ws.ping(b"are you there"))
        server.seen.put("pong")
        await ws.wait_closed()

    server = peer(handler)
    client = wspush(server.url())
    assert server.next() == "pong"
    client.expect("← ping +13 B  are you there")


def test_typed_ping_brings_a_pong(wspush, peer):
    client = wspush(peer(ready).url())
    client.type("/ping tick")
    client.expect("→ ping +4 B  tick")
    client.expect("← pong +4 B  tick")


def slowly(data):
    """Sends one byte at a time, then waits for the client's close frame."""
    def talk(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(0.0005)
        while sock.recv(4096):
            pass
    return talk


def test_a_server_that_sends_byte_by_byte(wspush, peer):
    def unmasked(*arguments, **options):
        return frame(*arguments, masked=False, **options)

    text = "我们都好".encode()
    data = (unmasked(BINARY, hello()) + unmasked(BINARY, binary(110, text)[:7], fin=False) +
            unmasked(PONG, b"between") + unmasked(0, binary(110, text)[7:]) +
            unmasked(BINARY, binary(111, b"y" * 300)))
    client = wspush("--count", "2", peer(raw=slowly(data)).url)
    client.expect("HELLO")
    client.expect("pong +7 B  between")
    client.expect("110 +12 B  我们都好$")
    client.expect("111 +300 B  y{300}$")
    assert client.wait() == 0


@pytest.mark.parametrize("data, code", [
    (frame(BINARY, hello(), masked=True), 1002),
    (frame(BINARY, hello(), masked=False, rsv=4), 1002),
    (frame(TEXT, b"\xff", masked=False), 1007),
    (frame(BINARY, b"", masked=False, length=65 << 20, length_bits=64), 1009),
], ids=["masked", "reserved bit", "not UTF-8", "too big"])
def test_a_server_that_breaks_the_protocol_is_told_so(wspush, peer, data, code):
    received = queue.Queue()

    def talk(sock):
        sock.sendall(data)
        received.put(sock.recv(4096))

    client = wspush(peer(raw=talk).url)
    assert client.wait() == 4
    answer = received.get(timeout=PATIENCE)
    key = answer[2:6]
    payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(answer[6:]))
    assert answer[0] == 0x80 | CLOSE and answer[1] & 0x80
    assert payload == close_payload(code)
    assert b"broke the protocol: %d" % code in client.err


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code, meaning, status", [
    (1000, "normal closure", 0), (1002, "protocol error", 4), (4001, "kicked", 4),
    (4002, "replaced by a newer connection", 4), (4003, "token expired", 4), (4050, "", 4)])
def test_a_final_close_is_printed_and_not_retried(wspush, peer, code, meaning, status):
    server = peer(closing(code, "the reason"))
    client = wspush(server.url())
    assert client.wait() == status
    assert f"closed by the server: {code} {meaning}: the reason; not reconnecting" in \
        client.err.decode()
    assert server.connections == 1


def test_a_reason_that_says_what_the_code_says_is_printed_once(wspush, peer):
    client = wspush(peer(closing(4001, "kicked")).url())
    assert client.wait() == 4
    assert "closed by the server: 4001 kicked; not reconnecting" in client.err.decode()


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 3000, 4008, 4009, 4100])
def test_other_closes_are_retried_after_a_random_delay(wspush, peer, code):
    server = peer(closing(code))
    client = wspush(server.url())
    line = client.expect("closed by the server: ")
    assert float(re.search(r"reconnecting in ([\d.]+) s", line)[1]) <= 0.5
    first, second = server.next(), server.next()
    assert second - first < 1.5
    client.process.send_signal(signal.SIGINT)
    assert client.wait() == 0


def test_no_reconnect_ends_at_the_first_close(wspush, peer):
    server = peer(closing(1012))
    client = wspush("--no-reconnect", server.url())
    assert client.wait() == 4
    assert server.connections == 1


def test_a_connection_cut_off_is_retried(wspush, peer):
    client = wspush(peer(raw=lambda sock: sock.sendall(frame(BINARY, hello(), masked=False))).url)
    client.expect("connection lost: .*reconnecting in")
    client.expect("could not connect: .*Connection refused; reconnecting in")


def test_the_delay_grows_while_the_server_stays_away(wspush, peer):
    """The delays are random below 0.5, 1 and 2 s."""
    server = peer(ready, process_request=refusing(503, b'{"message":"not ready"}'))
    client = wspush(server.url())
    for ceiling in (0.5, 1, 2):
        line = client.expect("refused by the server: HTTP 503: not ready; reconnecting in")
        assert float(re.search(r"reconnecting in ([\d.]+) s", line)[1]) <= ceiling


def test_bye_tells_when_to_come_back(wspush, peer):
    async def handler(server, ws):
        server.seen.put(time.monotonic())
        await ws.send(hello())
        await ws.send(binary(11, b'{"reason":"drain","reconnect_ms":800}'))
        await ws.close(1001)

    server = peer(handler)
    client = wspush(server.url())
    client.expect("1001 server stops; reconnecting in 0.8 s")
    assert 0.8 <= -server.next() + server.next() < 1.6


def test_sends_are_not_repeated_after_a_reconnect(wspush, peer):
    async def handler(server, ws):
        await ws.send(hello())
        if server.connections == 1:
            server.seen.put(await ws.recv())
            await ws.close(1012)
        else:
            server.seen.put("again")
            server.seen.put(await ws.recv())

    server = peer(handler)
    client = wspush("--send", "110", "once", server.url())
    assert [server.next(), server.next()] == [binary(110, b"once"), "again"]
    client.type("111 next")
    assert server.next() == binary(111, b"next")


@pytest.mark.parametrize("status, body, message", [
    (401, {"error": "unauthorized", "message": "no token"}, ": no token"),
    (403, {"error": "forbidden"}, ""),
    (426, "not JSON at all", "")])
def test_a_refused_handshake_is_explained(wspush, peer, status, body, message):
    text = body if isinstance(body, str) else json.dumps(body)
    server = peer(ready, process_request=refusing(status, text.encode()))
    client = wspush(server.url())
    assert client.wait() == 2
    assert f"refused by the server: HTTP {status}{message}; not reconnecting" in client.err.decode()


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_refusal_for_now_is_retried_when_the_server_says(wspush, peer, status):
    async def refuse(_path, _headers):
        server.seen.put(time.monotonic())
        if server.seen.qsize() == 1:
            return HTTPStatus(status), [("Retry-After", "1")], b"{}"
        return None

    server = peer(ready, process_request=refuse)
    client = wspush(server.url())
    client.expect(f"HTTP {status}; reconnecting in 1.0 s")
    client.expect("HELLO")
    assert -server.next() + server.next() >= 1


@pytest.mark.parametrize("answer, reason", [
    (lambda key: RawPeer.switching(key[::-1]), "Accept does not match"),
    (lambda key: RawPeer.switching(key, "chat"), "another subprotocol"),
    (lambda key: RawPeer.switching(key).replace(b"Sec-WebSocket-Protocol: push.bin.v1\r\n", b""),
     "--echo"),
    (lambda key: RawPeer.switching(key).replace(b"Upgrade: websocket\r\n", b""), "no Upgrade"),
    (lambda key: RawPeer.switching(key).replace(
        b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"), "extension"),
    (lambda _key: b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
], ids=["accept", "subprotocol", "no subprotocol", "upgrade", "extension", "ssh"])
def test_an_answer_that_is_no_handshake_ends_it(wspush, peer, answer, reason):
    client = wspush(peer(answer=answer).url)
    assert client.wait() == 2
    assert reason in client.err.decode()


def test_nobody_listens(wspush):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = wspush(f"ws://127.0.0.1:{unused.getsockname()[1]}/ws")
        assert client.wait() == 2
    assert b"Connection refused" in client.err


def test_count_exits_without_printing_more(wspush, peer):
    server = peer(sending(*(binary(110, b"%d" % i) for i in range(9))))
    client = wspush("--raw", "--count", "3", server.url())
    assert client.wait() == 0
    assert client.out == b"0\n1\n2\n"


def test_timeout_with_count_is_over_all(wspush, peer):
    async def handler(_server, ws):
        await ws.send(hello())
        while True:
            await ws.send(binary(110))
            await asyncio.sleep(0.05)

    began = time.monotonic()
    client = wspush("--count", "1000000", "--timeout", "400ms", peer(handler).url())
    assert client.wait() == 3
    assert 0.4 <= time.monotonic() - began < 3


def test_timeout_without_count_is_of_silence(wspush, peer):
    async def handler(_server, ws):
        await ws.send(hello())
        for i in range(4):
            await asyncio.sleep(0.3)
            await ws.send(binary(110, b"%d" % i))
        await ws.wait_closed()

    client = wspush("--timeout", "600ms", peer(handler).url())
    assert client.wait() == 3
    assert client.out.count(b"\n") == 5


@pytest.mark.parametrize("line, code, reason", [
    ("/quit", 1000, ""), ("/close", 1000, ""), ("/close 4123 so long", 4123, "so long")])
def test_typed_close_ends_cleanly(wspush, peer, line, code, reason):
    async def handler(server, ws):
        await ws.send(hello())
        await ws.wait_closed()
        server.seen.put((ws.close_code, ws.close_reason))

    server = peer(handler)
    client = wspush(server.url())
    client.expect("HELLO")
    client.type(line)
    assert client.wait() == 0
    assert server.next() == (code, reason)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_close_cleanly(wspush, peer, number):
    async def handler(server, ws):
        await ws.send(hello())
        await ws.wait_closed()
        server.seen.put(ws.close_code)

    server = peer(handler)
    client = wspush(server.url())
    client.expect("HELLO")
    client.process.send_signal(number)
    assert client.wait() == 0
    assert server.next() == 1000


def test_a_server_that_ignores_the_close_is_left_after_a_second(wspush, peer):
    release = threading.Event()

    def talk(sock):
        sock.sendall(frame(BINARY, hello(), masked=False))
        release.wait(PATIENCE)

    client = wspush(peer(raw=talk).url)
    client.expect("HELLO")
    began = time.monotonic()
    client.type("/quit")
    assert client.wait() == 0
    assert 0.9 < time.monotonic() - began < 3
    release.set()
