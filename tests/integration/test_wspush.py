"""wspush: its messages, requests and output, and its command line."""

import asyncio
import base64
import contextlib
import json
import os
import pty
import re
import ssl
import subprocess
import unicodedata

import pytest

from harness.wait import ROOT
from harness.wspush import (HELLO, PATIENCE, WSPUSH, binary, echo, hello, peer,  # noqa: F401
                            ready, sending, wspush)


# --- messages sent ---------------------------------------------------------------------------------


def test_typed_lines_go_out_as_opcode_and_payload(wspush, peer, tmp_path):
    server = peer(ready)
    (tmp_path / "bytes").write_bytes(b"\x00\n\xff")
    client = wspush(server.url())
    for line, wanted in [("110 我们都好", binary(110, "我们都好".encode())),
                         ("110", binary(110)),
                         ("110  two spaces", binary(110, b" two spaces")),
                         ("4294967295 x", binary(0xffffffff, b"x")),
                         ("111 hex:00fF", binary(111, b"\x00\xff")),
                         ("111 text:hex:00", binary(111, b"hex:00")),
                         (f"112 @{tmp_path / 'bytes'}", binary(112, b"\x00\n\xff"))]:
        client.type(line)
        assert server.next() == wanted
    assert "我们都好" in client.expect("→ 110")


def test_json_mode_sends_each_payload_in_its_shape(wspush, peer):
    async def handler(server, ws):
        await ws.send(json.dumps({"op": 1, "data": HELLO}))
        async for message in ws:
            server.seen.put((ws.subprotocol, message))

    server = peer(handler)
    client = wspush("--json", server.url())
    for line, wanted in [('110 {"a":[1]}', {"op": 110, "data": {"a": [1]}}),
                         ("110 plain", {"op": 110, "text": "plain"}),
                         ("110 hex:00ff", {"op": 110, "b64": base64.b64encode(b"\0\xff").decode()}),
                         ("110", {"op": 110})]:
        client.type(line)
        subprotocol, message = server.next()
        assert subprotocol == "push.json.v1"
        assert isinstance(message, str) and json.loads(message) == wanted


def test_nothing_is_sent_before_hello(wspush, peer):
    async def handler(server, ws):
        server.seen.put("open")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.3)
        await ws.send(hello())
        server.seen.put(await ws.recv())
        server.seen.put(await ws.recv())

    server = peer(handler)
    client = wspush("--send", "111", "first", server.url())
    client.type("110 second")
    assert server.next() == "open"
    assert [server.next(), server.next()] == [binary(111, b"first"), binary(110, b"second")]


def test_sends_are_repeated_with_every(wspush, peer):
    server = peer(ready)
    wspush("--send", "110", "a", "--send", "111", "", "--every", "50ms", server.url())
    assert [server.next() for _ in range(6)] == [binary(110, b"a"), binary(111)] * 3


def test_one_shot_ends_after_its_sends(wspush, peer):
    server = peer(ready)
    client = wspush("--send", "110", "once", server.url(), stdin=subprocess.DEVNULL)
    assert server.next() == binary(110, b"once")
    assert client.wait() == 0


def test_without_sends_the_end_of_input_keeps_listening(wspush, peer):
    async def handler(server, ws):
        await ws.send(hello())
        server.seen.put("greeted")
        await asyncio.sleep(0.3)
        await ws.send(binary(110, b"later"))
        await ws.wait_closed()

    client = wspush("--count", "1", peer(handler).url(), stdin=subprocess.DEVNULL)
    assert client.wait() == 0
    assert b"later" in client.out


def test_echo_mode_sends_lines_as_they_are(wspush, peer):
    server = peer(echo, subprotocols=None)
    client = wspush("--echo", server.url("/echo"))
    for line, wanted in [("110 text", "110 text"), ("//slash", "/slash"), ("我", "我")]:
        client.type(line)
        client.expect("→ text")
        assert client.expect("← text").rstrip().endswith(f"B  {wanted}")


def test_a_large_message_comes_back_whole(wspush, peer, tmp_path):
    async def handler(_server, ws):
        await ws.send(hello())
        await ws.send(await ws.recv())
        await ws.wait_closed()

    payload = os.urandom(3 << 20)
    (tmp_path / "large").write_bytes(payload)
    client = wspush("--raw", "--count", "1", "--send", "110", f"@{tmp_path / 'large'}",
                    peer(handler, max_size=None).url())
    assert client.wait() == 0
    assert client.out == payload + b"\n"


def test_mistyped_lines_are_explained_and_not_sent(wspush, peer):
    server = peer(ready)
    client = wspush(server.url())
    for line, wanted in [("hello", "must start with an opcode"), ("110 hex:0", "pairs of hex"),
                         ("110 @/nonexistent", "No such file"), ("/nonsense", "no such command"),
                         ("4294967296 x", "must start with an opcode"),
                         ("/close 70000", "below 65536")]:
        client.type(line)
        client.expect(wanted)
    client.type("110 good")
    assert server.next() == binary(110, b"good")


def test_help_is_shown_while_connected(wspush, peer):
    client = wspush(peer(ready).url())
    client.type("/help")
    client.expect("/quit")


# --- requests ------------------------------------------------------------------------------------


def test_user_and_credentials_reach_the_server(wspush, peer):
    async def handler(server, ws):
        server.seen.put((ws.path, ws.request_headers))

    server = peer(handler)
    wspush("--user", "a b&我", "--token", "jwt.x.y", "--cookie", "a=b", "--cookie", "c=d",
           "--header", "X-One: 1", "--header=X-Two: 2", "--header", "Host: example.org",
           "--no-reconnect", server.url("/ws?v=1"))
    path, headers = server.next()
    assert path == "/ws?v=1&user=a%20b%26%E6%88%91"
    assert headers["Authorization"] == "Bearer jwt.x.y"
    assert headers["Cookie"] == "a=b; c=d"
    assert (headers["X-One"], headers["X-Two"], headers["Host"]) == ("1", "2", "example.org")
    assert headers["Sec-WebSocket-Protocol"] == "push.bin.v1"


def test_unix_socket(wspush, peer, tmp_path):
    async def handler(server, ws):
        server.seen.put(ws.path)
        await ready(server, ws)

    path = str(tmp_path / "ws.sock")
    server = peer(handler, unix=path)
    client = wspush("--user", "7", f"ws+unix://{path}:/ws")
    assert server.next() == "/ws?user=7"
    client.expect("HELLO")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    path = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path / "key.pem",
                    "-out", path / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "cert.pem", path / "key.pem")
    return context, path / "cert.pem"


def test_tls_certificate_is_verified(wspush, peer, certificate):
    context, file = certificate
    server = peer(ready, ssl=context)
    client = wspush(server.url(scheme="wss"))
    client.expect("certificate is not trusted")
    assert client.wait() == 2

    for arguments, env in [((), {"SSL_CERT_FILE": str(file)}), (("--insecure",), None)]:
        client = wspush(*arguments, server.url(scheme="wss"), env=env)
        client.expect("HELLO")
        client.type("110 " + "x" * 100000)
        assert server.next() == binary(110, b"x" * 100000)


def test_tls_host_must_be_the_certificates(wspush, peer, certificate):
    context, file = certificate
    server = peer(ready, ssl=context)
    client = wspush(f"wss://localhost:{server.port}/ws", env={"SSL_CERT_FILE": str(file)})
    client.expect("certificate is not trusted: hostname mismatch")
    assert client.wait() == 2


# --- output ---------------------------------------------------------------------------------------


def test_system_messages_are_said_in_words(wspush, peer):
    server = peer(sending(
        binary(9, b'{"ms":1834}'), binary(8, b'{"op":110,"id":"1-0"}'),
        binary(0, b'{"code":"unknown_opcode","op":123,"message":"no such opcode"}'),
        binary(11, b'{"reason":"drain","reconnect_ms":3200}'), binary(9, b"not as it should be")))
    client = wspush("--count", "5", server.url())
    assert client.wait() == 0
    lines = client.out.decode().splitlines()
    for line, wanted in zip(lines, [
            "← 1 HELLO .* ready: connection c1, user 42, node n1, heartbeat 25 s, wspushd/0.1.0",
            "← 9 GAP .* down for 1.8 s", '← 8 ACCEPTED .* {"op":110,"id":"1-0"}',
            r"← 0 ERROR .* unknown_opcode \(opcode 123\): no such opcode",
            "← 11 BYE .* drain; the client should reconnect in 3.2 s", "← 9 GAP .* not as it should be"]):
        assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} " + wanted, line)
    assert len(lines) == 6


def test_payloads_are_text_where_they_are_and_hex_otherwise(wspush, peer):
    server = peer(sending(binary(110, "我们都好".encode()), binary(110, bytes(range(256)) * 2),
                          binary(16777215), b"\0\0\1", "not binary"))
    client = wspush("--count", "5", server.url())
    assert client.wait() == 0
    lines = client.out.decode().splitlines()[1:]
    assert re.search(r"← 110 +12 B  我们都好$", lines[0])
    assert lines[1].endswith("B  hex " + bytes(range(256)).hex() + "... and 256 more bytes")
    assert re.search(r"← 16777215 +0 B  $", lines[2])
    assert re.search(r"← binary +3 B", lines[3])
    assert re.search(r"← text +10 B  not binary$", lines[4])


def test_json_mode_prints_each_shape_and_what_is_none(wspush, peer):
    async def handler(_server, ws):
        for message in [{"op": 1, "data": HELLO}, {"op": 110, "data": {"a": 1}},
                        {"op": 110, "text": "t\x1b"}, {"op": 110, "b64": "AP8="}, {"no": "op"},
                        {"op": 111}]:
            await ws.send(json.dumps(message))
        await ws.wait_closed()

    client = wspush("--json", "--count", "5", peer(handler).url())
    assert client.wait() == 0
    lines = client.out.decode().splitlines()
    for line, wanted in zip(lines, ["1 HELLO .*user 42", r'110 +\d+ B  {"a": ?1}$',
                                    r"110 +2 B  t\\x1b$", "110 +2 B  hex 00ff$", r'text .*{"no"',
                                    "111 +0 B  $"]):
        assert re.search(wanted, line)


HOSTILE = ["\x1b]0;title\x07\x1b[2J", "\x9b31m", "\x00\x08\x7f", "line\nfeed\r", "\u202egnp.exe",
           "\u2066isolate\u2069", "\ufeff", "\U000e0041", "\u2028"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_payloads_cannot_touch_the_terminal(wspush, peer, text):
    def refused(op):
        return binary(op, json.dumps({"code": text, "message": text}, ensure_ascii=False).encode())

    async def handler(_server, ws):
        await ws.send(hello(user=text))
        await ws.send(binary(110, text.encode()))
        await ws.send(refused(0))
        await ws.ping(text.encode())
        await ws.close(4001, text)

    client = wspush(peer(handler).url())
    assert client.wait() == 4
    printed = (client.out + client.err).decode()
    dangerous = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl")} - {"\n"}
    assert not dangerous & set(printed)
    assert client.out.count(b"\n") == 4 and "4001 kicked" in printed


def test_hostile_refusal_cannot_touch_the_terminal(wspush, peer):
    body = json.dumps({"message": "\x1b[2J\u202e"}).encode()
    answer = b"HTTP/1.1 403 \r\nContent-Length: %d\r\n\r\n" % len(body) + body
    client = wspush(peer(answer=lambda _key: answer).url)
    assert client.wait() == 2
    assert rb"HTTP 403: \x1b[2J\u202e" in client.err


def on_terminal(arguments, env):
    """Returns wspush's output on a terminal."""
    master, slave = pty.openpty()
    with subprocess.Popen([WSPUSH, *arguments], stdin=subprocess.DEVNULL, stdout=slave,
                          stderr=subprocess.DEVNULL, env={**os.environ, **env}) as process:
        os.close(slave)
        text = b""
        with contextlib.suppress(OSError):  # EIO: the last writer is gone
            while piece := os.read(master, 65536):
                text += piece
        os.close(master)
        assert process.wait(PATIENCE) == 0
    return text


def test_colours_only_on_a_terminal_that_wants_them(peer):
    url = peer(sending(binary(110, b"x"))).url()
    assert b"\033[" in on_terminal(["--count", "1", url], {"NO_COLOR": ""})
    assert b"\033" not in on_terminal(["--count", "1", url], {"NO_COLOR": "1"})


def test_raw_escapes_on_a_terminal_and_is_exact_elsewhere(wspush, peer):
    payload = b"\x1b[2J\x00\xff"
    url = peer(sending(binary(110, payload))).url()
    assert on_terminal(["--raw", "--count", "1", url], {}) == b"\\x1b[2J\\x00\\xff\r\n"
    client = wspush("--raw", "--count", "1", url)
    assert client.wait() == 0
    assert (client.out, client.err) == (payload + b"\n", b"")


def test_quiet_prints_only_what_arrives(wspush, peer):
    client = wspush("--quiet", "--send", "110", "mine", "--count", "1",
                    peer(sending(binary(110, b"theirs"))).url())
    assert client.wait() == 0
    assert client.err == b""
    assert b"theirs" in client.out and b"mine" not in client.out


def test_a_reader_that_goes_away_ends_it(peer):
    async def handler(_server, ws):
        await ws.send(hello())
        while True:
            await ws.send(binary(110, b"x" * 1000))

    with subprocess.Popen([WSPUSH, peer(handler).url()], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 0


# --- usage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    [], ["http://x/"], ["ws://"], ["ws://x:0/"], ["ws://x:99999/"], ["ws://u:p@x/"], ["ws://x/#f"],
    ["ws://[::1/"], ["ws+unix://relative:/"], ["ws://x/", "ws://y/"], ["--nonsense", "ws://x/"],
    ["--json", "--echo", "ws://x/"], ["--echo", "--send", "1", "x", "ws://x/"],
    ["--every", "1s", "ws://x/"], ["--every", "fast", "ws://x/"], ["--timeout", "-1s", "ws://x/"],
    ["--timeout", "nan", "ws://x/"], ["--count", "0", "ws://x/"], ["--count", "1x", "ws://x/"],
    ["--send", "110", "hex:0", "ws://x/"], ["--send", "x", "y", "ws://x/"], ["--send", "110"],
    ["--user"], ["--json=1", "ws://x/"], ["--header", "no colon", "ws://x/"],
    ["--header", "A: b\r\nC: d", "ws://x/"], ["--header", "Upgrade: h2c", "ws://x/"],
    ["--header", "sec-websocket-key: x", "ws://x/"], ["--token", "a\nb", "ws://x/"],
], ids=" ".join)
def test_wrong_usage_is_told_before_anything_is_sent(wspush, arguments):
    client = wspush(*arguments)
    assert client.wait() == 1
    assert client.out == b"" and b"wspush --help" in client.err


def test_options_may_follow_the_url(wspush, peer):
    client = wspush(peer(sending(binary(110, b"x"))).url(), "--count=1", "--raw")
    assert client.wait() == 0
    assert client.out == b"x\n"


def test_help_and_version(wspush):
    client = wspush("--help")
    assert client.wait() == 0 and b"--no-reconnect" in client.out
    client = wspush("--version")
    assert client.wait() == 0 and client.out.startswith(b"wspush ")


def test_the_manual_has_every_option_and_command(wspush):
    client = wspush("--help")
    assert client.wait() == 0
    named = set(re.findall(r"^  (--?[\w-]+|/\w+)", client.out.decode(), re.M))
    manual = (ROOT / "docs" / "wspush.1").read_text().replace("\\-", "-")
    described = {"--" + name for name in re.findall(r"^\.It Fl -([\w-]+)", manual, re.M)}
    described |= set(re.findall(r"^\.It Ic (/\w+)", manual, re.M))
    assert named == described
