"""The opening handshake: which requests are accepted, which are refused, and the error texts."""

import socket
import time
from urllib.parse import quote

import pytest

from harness import frames as ws
from harness.client import HELLO, PING, PONG, Closed, encode_binary
from harness.http import HEAD_LIMIT, KEY, padded_head, upgrade_head
from harness.login import BAD_NAMES, assert_one_line_each
from harness.net import open_socket
from harness.wait import wait_for


def target(user):
    return "/ws?user=" + quote(user, safe="")


def refuse(server, head, *statuses, error=None):
    """Sends a head that must be refused; the refusal is whole, in JSON, and closes."""
    client = server.raw()
    client.offer_bytes(head)
    response = client.recv_response()
    assert response.status in statuses, f"{response.status} {response.body!r}"
    body = response.json()
    assert body["error"] and body["message"], body
    assert error is None or body["error"] == error, body
    assert response.header("Content-Type").startswith("application/json")
    assert "close" in response.header("Connection").lower().split(", ")
    client.expect_end()
    client.close()
    return response


def admit(server, head, mode="binary"):
    """Sends a head that must be let in; returns the client after HELLO."""
    client = server.raw()
    client.mode = mode
    client.send_bytes(head)
    client.expect_upgrade()
    client.expect_hello()
    return client


# Accepted requests.

def test_accept_key_is_that_of_the_rfc(server, user):
    client = server.raw()
    client.send_upgrade(user)
    assert client.recv_response().header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_accept_key_follows_the_clients_key(server, user):
    key = "AQIDBAUGBwgJCgsMDQ4PEA=="
    client = server.raw()
    client.send_upgrade(user, replace={"Sec-WebSocket-Key": key})
    client.expect_upgrade(key)


@pytest.mark.parametrize("offer, chosen, mode", [
    ([], None, "binary"),
    (["push.bin.v1"], "push.bin.v1", "binary"),
    (["push.json.v1"], "push.json.v1", "json"),
    (["chat, push.json.v1"], "push.json.v1", "json"),
    (["chat", "push.json.v1"], "push.json.v1", "json"),
    (["chat,push.bin.v1 , superchat"], "push.bin.v1", "binary"),
])
def test_subprotocol_is_chosen_from_the_offer(server, user, offer, chosen, mode):
    extra = [("Sec-WebSocket-Protocol", value) for value in offer]
    client = admit(server, upgrade_head(target(user), extra=extra), mode)
    assert client.response.header("Sec-WebSocket-Protocol") == chosen
    client.expect_silence()


@pytest.mark.parametrize("offer", ["push.bin.v1, push.json.v1", "push.json.v1, push.bin.v1"])
def test_both_subprotocols_offered_one_is_named_and_spoken(server, user, offer):
    client = server.raw()
    client.send_bytes(upgrade_head(target(user), extra=[("Sec-WebSocket-Protocol", offer)]))
    chosen = client.expect_upgrade().header("Sec-WebSocket-Protocol")
    assert chosen in ("push.bin.v1", "push.json.v1")
    client.mode = "json" if chosen == "push.json.v1" else "binary"
    client.expect_hello()


def test_unknown_subprotocol_is_refused(server, user):
    refuse(server, upgrade_head(target(user), extra=[("Sec-WebSocket-Protocol", "chat, mqtt")]),
           400, error="unsupported_subprotocol")


def test_no_extension_is_confirmed_that_the_server_does_not_speak(server, user):
    client = admit(server, upgrade_head(
        target(user), extra=[("Sec-WebSocket-Extensions", "x-unknown; a=1, bbf-usp-protocol")]))
    assert client.response.header("Sec-WebSocket-Extensions") is None


@pytest.mark.parametrize("replace", [
    {"Upgrade": "WebSocket"},
    {"Connection": "keep-alive, Upgrade"},
    {"Connection": "upgrade"},
    {"Upgrade": None, "uPGRADE": "websocket"},
    {"Host": None, "hOST": "127.0.0.1"},
    {"Sec-WebSocket-Key": None, "sec-websocket-key": KEY},
    {"Sec-WebSocket-Key": f"\t {KEY} \t"},
], ids=str)
def test_names_and_tokens_in_any_case_and_spacing(server, user, replace):
    admit(server, upgrade_head(target(user), replace=replace))


def test_head_sent_one_byte_at_a_time_is_let_in(server, user):
    client = server.raw()
    for byte in upgrade_head(target(user)):
        client.send_bytes(bytes([byte]))
        time.sleep(0.0002)
    client.expect_upgrade()
    client.expect_hello()


def test_head_cut_in_two_at_every_place(server, user):
    head = upgrade_head(target(user))
    for at in range(1, len(head)):
        client = server.raw()
        client.send_bytes(head[:at])
        time.sleep(0.0005)
        client.send_bytes(head[at:])
        client.expect_upgrade()
        client.close()


def test_echo_path_needs_no_user_and_sends_no_hello(server):
    client = server.echo_client()
    client.send_frame(ws.TEXT, "grüße".encode())
    assert client.recv_data() == (ws.TEXT, "grüße".encode())
    client.send_frame(ws.BINARY, b"\x00\xff")
    assert client.recv_data() == (ws.BINARY, b"\x00\xff")


def test_without_echo_path_there_is_no_echo(make_server):
    refuse(make_server(echo_path=""), upgrade_head("/echo"), 404)


def test_path_is_settable(make_server):
    server = make_server(path="/socket")
    admit(server, upgrade_head("/socket?user=u"))
    refuse(server, upgrade_head("/ws?user=u"), 404)


# The first frames may come with the head.

def test_frame_in_the_same_segment_as_the_head_is_answered(server, user):
    """Whichever worker accepted, the frame follows the connection to its home."""
    for number in range(40):
        client = server.raw()
        client.send_bytes(upgrade_head(target(f"{user}.{number}"))
                          + ws.frame(ws.BINARY, encode_binary(PING, b"early")))
        client.expect_upgrade()
        got = [client.recv_message() for _ in range(2)]
        assert sorted(message.op for message in got) == [HELLO, PONG]
        assert (PONG, b"early", "binary") in got


def test_many_frames_behind_the_head_are_all_answered_in_order(server, user):
    count = 600
    frames = b"".join(ws.frame(ws.BINARY, encode_binary(PING, b"%06d" % n + b"." * 50))
                      for n in range(count))
    assert len(frames) > 4 * HEAD_LIMIT
    client = server.raw()
    client.send_bytes(upgrade_head(target(user)) + frames)
    client.expect_upgrade()
    got = [client.recv_message() for _ in range(count + 1)]
    assert [m.op for m in got].count(HELLO) == 1
    assert [m.payload[:6] for m in got if m.op == PONG] == [b"%06d" % n for n in range(count)]


def test_part_of_a_frame_behind_the_head_is_kept(server, user):
    frame = ws.frame(ws.BINARY, encode_binary(PING, b"cut in two"))
    for at in range(1, len(frame)):
        client = server.raw()
        client.send_bytes(upgrade_head(target(f"{user}.{at}")) + frame[:at])
        client.expect_upgrade()
        client.expect_hello()
        client.send_bytes(frame[at:])
        assert client.recv_message() == (PONG, b"cut in two", "binary")
        client.close()


def test_echo_frame_in_the_same_segment_as_the_head(server):
    client = server.raw()
    client.send_bytes(upgrade_head("/echo") + ws.frame(ws.TEXT, b"early"))
    client.expect_upgrade()
    assert client.recv_data() == (ws.TEXT, b"early")


def test_bad_frame_behind_the_head_closes_with_its_code(server, user):
    client = server.raw()
    client.send_bytes(upgrade_head(target(user)) + ws.frame(0x3, b"reserved opcode"))
    client.expect_upgrade()
    client.expect_close(1002, skip_data=True)


def test_two_upgrade_fields_are_one_list(server, user):
    """RFC 9110 §5.3: as a proxy may split them."""
    admit(server, upgrade_head(target(user), replace={"Upgrade": "h2c"}, extra=[("Upgrade", "websocket")]))


@pytest.mark.parametrize("key", ["AQIDBAUGBwgJCgsMDQ4PEC==", "dGhlIHNhbXBsZSBub25jZR=="])
def test_key_with_bits_behind_its_last_byte_is_let_in(server, user, key):
    """The first is RFC 6455's own example (§4.1). A key is hashed verbatim."""
    client = server.raw()
    client.send_bytes(upgrade_head(target(user), replace={"Sec-WebSocket-Key": key}))
    client.expect_upgrade(key)


def test_of_an_absolute_target_the_host_counts_and_not_the_field(server, user):
    """RFC 9112 §3.2.2."""
    absolute = "http://app.example.org" + target(user)
    for origin, status in (("https://app.example.org", 101), ("http://field.example", 403)):
        client = server.raw()
        client.send_bytes(upgrade_head(absolute, host="field.example", extra=[("Origin", origin)]))
        assert client.recv_response().status == status


# Refused requests.

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
def test_method_other_than_get_is_405(server, method):
    response = refuse(server, upgrade_head(method=method), 405, error="method_not_allowed")
    assert response.header("Allow") == "GET"


@pytest.mark.parametrize("replace", [{"Upgrade": None, "Connection": None}, {"Upgrade": None}],
                         ids=str)
def test_request_that_is_no_upgrade_is_426(server, replace):
    response = refuse(server, upgrade_head(replace=replace), 426, error="upgrade_required")
    assert response.header("Upgrade").lower() == "websocket"


@pytest.mark.parametrize("replace", [
    {"Connection": None},
    {"Connection": "keep-alive"},
    {"Connection": "close"},
    {"Connection": "upgraded"},
], ids=str)
def test_half_an_upgrade_is_400(server, replace):
    refuse(server, upgrade_head(replace=replace), 400, error="bad_upgrade")


@pytest.mark.parametrize("value", ["h2c", "websocke", "websockets", ""])
def test_upgrade_to_something_else_is_refused(server, value):
    refuse(server, upgrade_head(replace={"Upgrade": value}), 400, 426)


@pytest.mark.parametrize("version", ["8", "7", "0", "12", "14", "113", "013", "13x", "-13", "",
                                     None])
def test_version_other_than_13_is_426_and_says_13(server, version):
    response = refuse(server, upgrade_head(replace={"Sec-WebSocket-Version": version}), 426,
                      error="unsupported_version")
    assert response.header("Sec-WebSocket-Version") == "13"


def test_version_twice_and_not_the_same_is_refused(server):
    refuse(server, upgrade_head(extra=[("Sec-WebSocket-Version", "8")]), 400, 426)


@pytest.mark.parametrize("key", [
    None, "", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=",
    "dGhlIHNhbXBsZSBub25jZSEh", "dGhlIHNhbXBsZSBub2*jZQ==", "dGhlIHNhbXBs ZSBub25jZQ==",
    "=" * 24, "A" * 24, KEY * 2, KEY + ",",
], ids=repr)
def test_key_that_is_not_16_bytes_in_base64_is_400(server, key):
    refuse(server, upgrade_head(replace={"Sec-WebSocket-Key": key}), 400, error="bad_key")


def test_key_twice_is_400(server):
    refuse(server, upgrade_head(extra=[("Sec-WebSocket-Key", KEY)]), 400, error="bad_key")


def test_host_missing_is_400(server):
    refuse(server, upgrade_head(replace={"Host": None}), 400, error="bad_host")


def test_host_twice_is_400(server):
    refuse(server, upgrade_head(extra=[("Host", "127.0.0.1")]), 400, error="bad_host")


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/2.0", "HTTP/0.9"])
def test_other_http_version_is_505(server, version):
    refuse(server, upgrade_head(version=version), 505, error="bad_version")


@pytest.mark.parametrize("replace", [
    {"Content-Length": "5"}, {"Transfer-Encoding": "chunked"},
], ids=str)
def test_body_is_400(server, replace):
    refuse(server, upgrade_head(replace=replace), 400, error="unexpected_body")


LINE = b"GET /ws?user=u HTTP/1.1\r\n"
REST = upgrade_head()[len(LINE):]


@pytest.mark.parametrize("head", [
    b"GET /ws?user=u\r\n" + REST,
    b"GET  /ws?user=u HTTP/1.1\r\n" + REST,
    b"GET /ws?user=u  HTTP/1.1\r\n" + REST,
    b"GET /ws?user=u HTTP/1.1 \r\n" + REST,
    b"GET /ws?user=u HTTP/1.11\r\n" + REST,
    b"GET /ws?user=u http/1.1\r\n" + REST,
    b"GET /ws?user=a b HTTP/1.1\r\n" + REST,
    b"G\x00T /ws?user=u HTTP/1.1\r\n" + REST,
    b"GET /ws?user=\x01 HTTP/1.1\r\n" + REST,
    b" GET /ws?user=u HTTP/1.1\r\n" + REST,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    LINE + b"X-A : space before the colon\r\n" + REST,
    LINE + b": no name\r\n" + REST,
    LINE + b"no colon\r\n" + REST,
    LINE + b"X-A: folded\r\n line\r\n" + REST,
    LINE + b" X-A: folded into the request line\r\n" + REST,
    LINE + b"X-A: nul\x00byte\r\n" + REST,
    LINE + b"X-A: bell\x07\r\n" + REST,
    LINE + b"X-A: bare\rCR\r\n" + REST,
    LINE + b"X(A): separator in the name\r\n" + REST,
    LINE + b"X\xc3\xa4: letters beyond ASCII\r\n" + REST,
], ids=lambda head: repr(head.replace(REST, b""))[:48])
def test_head_that_is_not_http_is_400(server, head):
    refuse(server, head, 400)


def test_wrong_byte_is_refused_before_the_head_is_whole(server):
    refuse(server, b"GET /ws?user=u HTTP/1.1\r\nX-A: a\x00", 400)


def test_other_path_is_404(server):
    for path in ("/", "ws", "*", "/wsx", "/ws/", "/ws/ws", "/w", "/WS", "/echo2", "//ws"):
        refuse(server, upgrade_head(path + "?user=u"), 404)


def test_64_headers_are_let_in_and_65_are_431(server, user):
    admit(server, upgrade_head(target(user), extra=[("X-A", "b")] * 59))
    refuse(server, upgrade_head(target(user), extra=[("X-A", "b")] * 60), 431,
           error="too_many_headers")


def test_head_of_8192_bytes_is_let_in(server, user):
    admit(server, padded_head(HEAD_LIMIT, target=target(user)))


def test_head_of_8193_bytes_is_431(server, user):
    refuse(server, padded_head(HEAD_LIMIT + 1, target=target(user)), 431, error="head_too_large")


def test_head_of_64_kib_is_431(server, user):
    refuse(server, padded_head(65536, target=target(user)), 431, error="head_too_large")


def test_request_line_of_64_kib_is_refused(server):
    refuse(server, upgrade_head("/ws?user=" + "u" * 65536), 431, 414)


# Users (auth none).

@pytest.mark.parametrize("path", ["/ws", "/ws?", "/ws?user", "/ws?user=", "/ws?usr=u",
                                  "/ws?u=1&x=2"])
def test_no_user_is_401_with_a_challenge(server, path):
    response = refuse(server, upgrade_head(path), 401)
    assert response.header("WWW-Authenticate")


@pytest.mark.parametrize("encoded", [
    "a" * 64, "%E6%88%91" * 22, "a%00b", "a%0Ab", "a%1Fb", "%7F", "%09", "%FF", "%C0%AF",
    "%ED%A0%80", "%F4%90%80%80", "%E6%88", "a%zz", "a%4", "a%",
])
def test_user_name_that_is_none_is_refused(server, encoded):
    refuse(server, upgrade_head("/ws?user=" + encoded), 400, 401)


def test_user_name_that_is_none_is_one_log_line(make_server):
    server = make_server()
    for name in BAD_NAMES:
        refuse(server, upgrade_head(target(name)), 401)
    refuse(server, upgrade_head("/ws?user=%ff%0abreak"), 401)
    assert_one_line_each(server, 0, len(BAD_NAMES) + 1)


@pytest.mark.parametrize("name", [
    "a", "a" * 63, "我" * 21, "a b", "a/b?c&d=e#f", 'quo"te\\', "user:1", "*", "{tag}x", "%41", "é",
    "\U0001f600",
])
def test_user_name_of_up_to_63_bytes_of_utf8_is_let_in_as_it_is(server, name):
    assert server.client(name).hello["user"] == name


def test_other_parameters_beside_the_user_are_ignored(server, user):
    client = admit(server, upgrade_head(f"/ws?x=1&user={user}&user2=no&y"))
    assert client.hello["user"] == user


# Header injection.

@pytest.mark.parametrize("path", [
    "/ws?user=a%0d%0aX-Evil:%20yes", "/ws%0d%0aX-Evil:%20yes?user=u", "/%0aX-Evil:yes",
])
def test_line_breaks_from_outside_reach_no_header_and_no_log_line(server, path):
    response = refuse(server, upgrade_head(path), 400, 401, 404)
    assert response.header("X-Evil") is None
    assert b"\nX-Evil" not in response.body
    assert not [line for line in server.log().split("\n") if line.startswith("X-Evil")]


def test_log_has_no_control_characters_from_outside(server, user):
    refuse(server, upgrade_head(extra=[("Origin", "http://evil\t\x80\x9f"), ]), 400, 403)
    refuse(server, upgrade_head("/ws?user=%1b%5b31m"), 400, 401)
    server.publish("user:" + user, b"\x1b[31m")
    bad = [line for line in server.log_path.read_bytes().split(b"\n")
           if any(byte < 32 or byte == 127 for byte in line)]
    assert not bad


# Origins.

def origin_head(user, origin, host="127.0.0.1:8080"):
    return upgrade_head(target(user), host=host, extra=[("Origin", origin)])


def test_no_origin_passes(server, user):
    admit(server, upgrade_head(target(user)))


@pytest.mark.parametrize("origin, host", [
    ("http://127.0.0.1:8080", "127.0.0.1:8080"),
    ("https://127.0.0.1:8080", "127.0.0.1:8080"),             # TLS may end in a proxy before us
    ("https://app.example.org", "app.example.org:443"),       # nginx: $host:$server_port
    ("http://app.example.org", "app.example.org:80"),
    ("https://app.example.org:443", "app.example.org"),
    ("wss://app.example.org", "app.example.org:443"),         # a library on iOS
    ("ws://127.0.0.1:8080", "127.0.0.1:8080"),
    ("http://[::1]:8080", "[::1]:8080"),
])
def test_same_origin_passes(server, user, origin, host):
    admit(server, origin_head(user, origin, host))


@pytest.mark.parametrize("origin", [
    "http://evil.example", "http://127.0.0.1:8081", "http://127.0.0.1", "null", "",
    "http://127.0.0.1:8080.evil.example", "http://evil.example/127.0.0.1:8080",
    "http://127.0.0.1:8080@evil.example", "127.0.0.1:8080", "http://x127.0.0.1:8080",
])
def test_foreign_origin_is_403(server, user, origin):
    refuse(server, origin_head(user, origin), 403)


def test_listed_origins_pass_besides_the_servers_own(make_server):
    server = make_server(origins=["https://app.example", "https://b.example:8443", "https://c:443",
                                  "https://*.example.net", "null", "file://"])
    for origin in ("https://app.example", "https://b.example:8443", "https://c", "https://c:443",
                   "wss://app.example", "https://x.example.net", "null", "file://",
                   "http://127.0.0.1:8080"):  # its own: the console's page is served by the server
        admit(server, origin_head("u", origin))
    admit(server, upgrade_head(target("u")))
    for origin in ("http://app.example", "https://app.example.evil.example", "https://b.example",
                   "https://xapp.example", "https://example.net", "https://a.b.example.net",
                   "http://x.example.net", "http://127.0.0.1:8081"):
        refuse(server, origin_head("u", origin), 403)


def test_a_refused_origin_is_logged_with_what_would_allow_it(make_server):
    server = make_server()
    for _ in range(20):
        refuse(server, origin_head("u", "https://app.example", "ws.example"), 403)
    lines = [line for line in server.log().splitlines() if "event=origin_refused" in line]
    assert 1 <= len(lines) <= 5, "one a second from each worker"
    assert all(word in lines[0] for word in ("https://app.example", "ws.example", "origins"))


def test_star_lets_every_origin_in(make_server):
    server = make_server(origins=["*"])
    admit(server, origin_head("u", "http://anywhere.example"))


# Limits.

def test_connection_limit_is_503_with_retry_after_until_one_leaves(make_server):
    server = make_server(max_connections=3)
    clients = [server.client(f"u{n}") for n in range(3)]
    response = refuse(server, upgrade_head(target("u3")), 503)
    assert 1 <= int(response.header("Retry-After")) <= 60
    for client in clients:
        client.expect_silence()
    clients[0].close()

    def let_in():
        client = server.raw()
        client.send_upgrade("u3")
        if client.recv_response().status == 101:
            return client
        client.close()
        return None

    wait_for(let_in, "a free place").expect_hello()


def test_head_that_never_ends_is_closed_in_time(make_server):
    """Sending byte by byte does not extend the timeout, and neither does silence."""
    server = make_server(handshake_timeout=1)
    dripping, silent, halted = server.raw(), server.raw(), server.raw()
    dripping.send_bytes(b"GET /ws?user=u HTTP/1.1\r\n")
    halted.send_bytes(upgrade_head()[:-2])
    good = server.client("good")

    def drip():
        dripping.offer_bytes(b"X-A: b\r\n")
        for client in (dripping, silent, halted):
            client.pull()
        return dripping.ended and silent.ended and halted.ended

    wait_for(drip, "all three to be closed", timeout=15, interval=0.2)
    for client in (dripping, silent, halted):
        assert client.response is None or client.response.status in (400, 408)
    time.sleep(0.5)
    good.expect_silence()


def test_unfinished_handshakes_hold_nobody_up(server, user):
    crowd = [server.raw() for _ in range(300)]
    for number, client in enumerate(crowd):
        client.send_bytes(upgrade_head()[:number % 60 + 1])
    good = server.client(user)
    good.expect_silence()
    assert server.push(user, 110, text="hi") == 1
    assert good.recv_message().bytes() == b"hi"


def test_connection_that_ends_within_its_head_leaves_nothing(server):
    head = upgrade_head()
    for number in range(100):
        client = server.raw()
        client.send_bytes(head[:number * len(head) // 100])
        client.reset() if number % 2 else client.close()
    server.wait_connections(0)


def test_client_that_half_closes_behind_its_head_harms_nobody(server, user):
    client = server.raw()
    client.send_bytes(upgrade_head(target(user)))
    client.half_close()
    try:
        client.drain()
    except (Closed, AssertionError):
        pass
    client.close()
    server.wait_connections(0)


def test_refusal_reaches_a_client_that_sends_on_and_on(server):
    """The rest of its bytes must not turn the answer into a reset before it was read."""
    sock = open_socket(server.address)
    try:
        sock.sendall(upgrade_head(method="POST"))
        for _ in range(64):
            sock.sendall(b"x" * 1024)
    except (BrokenPipeError, ConnectionResetError):
        pass
    sock.settimeout(20)
    first = sock.recv(4096)
    assert first.startswith(b"HTTP/1.1 405 ")
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()
