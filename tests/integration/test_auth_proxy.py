"""A proxy's statements about its client (user, address, PROXY header), and which peers are trusted as proxies."""

import pytest

from harness.http import upgrade_head
from harness.login import admit, ask, assert_one_line_each, bearer, refuse, section, sid
from harness.net import free_port

STRANGERS = {"trusted_proxies": ["10.0.0.0/8"]}
"""A configuration that does not trust the test."""


def address_of(server, user):
    return server.admin.user(user)[0]["address"]


# The header that names the user.

def test_header_is_believed_from_a_trusted_proxy(servers, user):
    server = servers(auth=["header"])
    admit(server, [("x-auth-user", user)], user)
    admit(server, [("X-Auth-User", "我")], "我")
    refuse(server, says="header: the header is missing")
    refuse(server, [("X-Auth-User", "")], says="header: the header is missing")
    refuse(server, [("X-Auth-User", "a"), ("X-Auth-User", "b")], says="more than once")
    before = len(server.log())
    for name in ("a\tb", "b" * 1000, "\udcff"):
        refuse(server, [("X-Auth-User", name)], says="not a user name")
    assert_one_line_each(server, before, 3)


def test_header_has_the_name_that_is_set(servers, user):
    server = servers(auth=["header"], header=section(name="Remote-User"))
    admit(server, [("Remote-User", user)], user)
    refuse(server, [("X-Auth-User", user)])


def test_forged_header_of_an_untrusted_peer_is_not_believed(servers, user):
    server = servers(auth=["header"], **STRANGERS)
    refuse(server, [("X-Auth-User", user)], says="does not come from a trusted proxy")
    refuse(server, [("X-Auth-User", user), ("X-Forwarded-For", "10.0.0.1")],
           says="does not come from a trusted proxy")


# The order of the methods.

def test_methods_are_tried_in_order_and_all_are_named(servers, keys, redis, user):
    server = servers(auth=["jwt", "session", "header"], jwt=keys.section())
    redis.client.set("session:" + user, user + "s")
    proofs = [*bearer(keys.token(user + "j")), *sid(user), ("X-Auth-User", user + "h")]
    admit(server, proofs, user + "j")
    admit(server, proofs[1:], user + "s")
    admit(server, proofs[2:], user + "h")
    admit(server, [*bearer("x"), *sid("gone"), ("X-Auth-User", user)], user)
    assert refuse(server, [*bearer("x"), *sid("gone")]) == {
        "error": "unauthorized",
        "message": "jwt: it is not a signed JSON Web Token; session: there is no such session; "
                   "header: the header is missing"}
    assert "event=login_refused address=127.0.0.1:" in server.log()
    assert server.admin.counter("handshakes_refused_total", reason="login") >= 1


def test_proxy_is_still_trusted_after_redis_was_asked(servers, user):
    """Though the record has the client's address by then."""
    server = servers(auth=["session", "header"])
    admit(server, [*sid("gone"), ("X-Forwarded-For", "192.0.2.1"), ("X-Auth-User", user)], user)
    assert address_of(server, user) == "192.0.2.1"


@pytest.mark.parametrize("origin", [
    "null", "https://app.example.evil.example", "https://evilapp.example", "https://app.example.",
    "https://app.example:444", "https://app.example@evil.example", "http://app.example",
])
def test_origin_is_asked_before_the_login(servers, user, origin):
    server = servers(auth=["header"], origins=["https://app.example"])
    refuse(server, [("X-Auth-User", user), ("Origin", origin)], 403)
    admit(server, [("X-Auth-User", user), ("Origin", "https://app.example")], user)


# X-Forwarded-For.

@pytest.mark.parametrize("value, address", [
    ("192.0.2.1", "192.0.2.1"),
    ("198.51.100.9, 192.0.2.1", "192.0.2.1"),
    ("127.0.0.1, 192.0.2.1, 127.0.0.1", "192.0.2.1"),
    ("2001:db8::1", "2001:db8::1"),
    ("192.0.2.1:1234", "192.0.2.1"),
    ("unknown", "127.0.0.1:"),
    ("192.0.2.1, evil", "127.0.0.1:"),
    ('"\\\x80', "127.0.0.1:"),
])
def test_forwarded_for_is_believed_from_a_trusted_proxy(server, user, value, address):
    admit(server, [("X-Forwarded-For", value)], target="/ws?user=" + user)
    assert address_of(server, user).startswith(address)


def test_forged_forwarded_for_of_an_untrusted_peer_is_not_believed(servers, user):
    server = servers(auth=["none"], **STRANGERS)
    admit(server, [("X-Forwarded-For", "192.0.2.1")], target="/ws?user=" + user)
    assert address_of(server, user).startswith("127.0.0.1:")


def test_unix_socket_is_a_trusted_peer(make_server, tmp_path):
    path = str(tmp_path / "ws.sock")
    server = make_server(listen=["unix:" + path])
    admit(server, [("X-Forwarded-For", "192.0.2.1")], target="/ws?user=a")
    admit(server, target="/ws?user=b")
    assert (address_of(server, "a"), address_of(server, "b")) == ("192.0.2.1", "unix")


# The PROXY protocol.

V1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 56324 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n"
V2_TCP4 = V2 + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 127, 0, 0, 1, 0xdc, 4, 0, 80])
V2_TCP6 = (V2 + b"\x21\x21\0\x27" + b"\x20\x01\x0d\xb8" + b"\0" * 11 + b"\1" + b"\0" * 16
           + b"\0\x50\0\x50" + b"\4\0\0")

GOOD = [
    (V1, "192.0.2.1:56324"),
    (b"PROXY TCP6 2001:db8::1 ::1 80 80\r\n", "[2001:db8::1]:80"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1:"),
    (V2_TCP4, "192.0.2.1:56324"),
    (V2_TCP6, "[2001:db8::1]:80"),
    (V2 + b"\x20\0\0\0", "127.0.0.1:"),
]


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture
def balanced(servers, port):
    return servers(auth=["header", "none"], listen=[f"127.0.0.1:{port} proxy"])


@pytest.mark.parametrize("header, address", GOOD, ids=lambda value: repr(value)[:24])
def test_proxy_header_names_the_client(balanced, user, header, address):
    admit(balanced, before=header, target="/ws?user=" + user, user=user).expect_silence()
    assert address_of(balanced, user).startswith(address)


@pytest.mark.parametrize("header", [V1, V2_TCP6], ids=["1", "2"])
def test_proxy_header_cut_at_every_byte(balanced, user, header):
    head = header + upgrade_head("/ws?user=" + user)
    for at in range(1, len(header) + 2):
        client = balanced.raw()
        client.send_bytes(head[:at])
        client.pull()
        client.send_bytes(head[at:])
        client.expect_upgrade()
        client.close()
    client = balanced.raw()
    for byte in head:
        client.send_bytes(bytes([byte]))
    client.expect_upgrade()


@pytest.mark.parametrize("header", [
    b"", b"PROXY TCP4 192.0.2.1 127.0.0.1 56324\r\n", b"PROXY TCP4 1.2.3 127.0.0.1 1 2\r\n",
    b"PROXY " + b"x" * 200, V2 + b"\x22\x11\0\x0c" + b"\0" * 12, V2 + b"\x21\x11\xff\xff",
    V2[:-1] + b"x", V1[1:], b"\x16\x03\x01",
], ids=lambda header: repr(header)[:24])
def test_bad_proxy_header_is_400(balanced, header):
    body = refuse(balanced, status=400, before=header, target="/ws?user=u")
    assert body["error"] == "bad_proxy_header"


def test_two_proxy_headers_are_one_too_many(balanced):
    refuse(balanced, status=400, before=V1 + V1, target="/ws?user=u")


def test_client_behind_a_balancer_is_no_trusted_proxy(balanced, user):
    """Headers written by the balancer's client are not trusted, neither for the name nor the address."""
    refuse(balanced, [("X-Auth-User", "admin")], before=V1,
           says="does not come from a trusted proxy")
    admit(balanced, [("X-Forwarded-For", "198.51.100.7")], before=V2_TCP4,
          target="/ws?user=" + user)
    assert address_of(balanced, user) == "192.0.2.1:56324"


def test_proxy_behind_a_balancer_is_trusted_where_it_is_listed(balanced, user):
    inner = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 80\r\n"
    admit(balanced, [("X-Forwarded-For", "198.51.100.7"), ("X-Auth-User", user)], user,
          before=inner)
    assert address_of(balanced, user) == "198.51.100.7"


def test_forged_proxy_header_of_an_untrusted_peer_is_no_http(make_server, user):
    server = make_server(auth=["none"], listen=[f"127.0.0.1:{free_port()} proxy"], **STRANGERS)
    for header in (V1, V2_TCP4):
        refuse(server, status=400, before=header, target="/ws?user=" + user)
    admit(server, target="/ws?user=" + user)
    assert address_of(server, user).startswith("127.0.0.1:")


def test_without_the_word_a_listener_knows_no_proxy_header(server, user):
    refuse(server, status=400, before=V1, target="/ws?user=" + user)


def test_proxy_header_that_never_ends_is_closed_in_time(make_server):
    server = make_server(listen=[f"127.0.0.1:{free_port()} proxy"], handshake_timeout=1)
    client = server.raw()
    client.send_bytes(V2_TCP4[:-1])
    client.expect_end()
    assert server.admin.counter("handshakes_refused_total", reason="timeout") == 1


def test_echo_path_behind_a_balancer(balanced):
    client = ask(balanced, before=V1, target="/echo")
    client.expect_upgrade()
    client.echo()
