"""Login by JSON Web Token, before the upgrade and on the open connection."""

import hashlib
import hmac
import json
import time

import pytest

from harness.client import ACCEPTED, AUTH, ERROR
from harness.http import upgrade_head
from harness.login import (ALGORITHMS, BAD_NAMES, admit, assert_one_line_each, bearer, encode_part,
                           raw_token, refuse, sign)
from harness.server import Raw, run_wspushd
from harness.wait import SLACK


@pytest.fixture
def server(servers, keys):
    return servers(auth=["jwt"], jwt=keys.section(query="access_token"))


# Where a token comes from, and what makes it good.

@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_of_each_algorithm_lets_its_user_in(servers, keys, user, algorithm):
    server = servers(auth=["jwt"], jwt=keys.section(algorithm))
    admit(server, bearer(keys.token(user, algorithm)), user).expect_silence()
    for other in ALGORITHMS:
        if other != algorithm:
            refuse(server, bearer(keys.token(user, other)), says="algorithm that is accepted")


def test_token_may_come_by_bearer_cookie_or_query(server, keys, user):
    token = keys.token(user)
    admit(server, bearer(token), user)
    admit(server, [("authorization", "bEARER  " + token)], user)
    admit(server, [("Cookie", f"a=b; token={token}; c=d")], user)
    admit(server, [("Cookie", "a=b"), ("Cookie", f'token="{token}"')], user)
    admit(server, target="/ws?x=1&access_token=" + token, user=user)


def test_query_is_not_read_unless_it_is_named(servers, keys, user):
    server = servers(auth=["jwt"], jwt=keys.section())
    for name in ("token", "", "access_token", "jwt"):
        refuse(server, target=f"/ws?{name}=" + keys.token(user), says="there is no token")


def test_bearer_that_is_wrong_is_not_mended_by_a_cookie(server, keys, user):
    refuse(server, bearer("x") + [("Cookie", "token=" + keys.token(user))])


def test_other_schemes_are_no_tokens(server, keys):
    for value in ("Basic dTpw", "Bearer", "Bearer ", keys.token(), "BearerX " + keys.token()):
        refuse(server, [("Authorization", value)], says="jwt: there is no token")


def test_refusal_asks_for_a_token(server):
    client = server.raw()
    client.send_bytes(upgrade_head("/ws"))
    response = client.recv_response()
    assert (response.status, response.header("WWW-Authenticate")) == (401, "Bearer")
    assert response.json() == {"error": "unauthorized", "message": "jwt: there is no token"}


# Forgeries.

def test_forged_tokens_are_refused(server, keys):
    good = keys.token()
    head, claims, signature = good.split(".")
    payload = {"sub": "42", "exp": int(time.time()) + 600}
    forged = [
        ".".join([head, keys.token("43").split(".")[1], signature]),
        ".".join([encode_part({"alg": "HS256", "typ": "JWT", "kid": "1"}), claims, signature]),
        ".".join([head, claims, signature[:-4]]),
        ".".join([head, claims, ""]),
        ".".join([head, claims]),
        ".".join([head, claims, signature, ""]),
        good + "=", good + "AAAA", good.replace(".", ".."), good[1:],
        raw_token({"alg": "HS256"}, payload, b"\0" * 32),
        raw_token({"alg": "HS256", "crit": ["b64"], "b64": False}, payload),
        raw_token({"alg": "HS256"}, b"[" * 4000), raw_token(b"[" * 4000, payload),
        "x", ".", "..", "a.b.c",
    ]
    for token in forged:
        refuse(server, bearer(token), says="jwt: it")
    admit(server, bearer(good), "42")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, 0, ["HS256"], "HS512", "RS256"])
def test_algorithm_is_fixed_by_the_configuration(server, alg):
    payload = {"sub": "42", "exp": int(time.time()) + 600}
    for signature in (b"", b"\0" * 32):
        refuse(server, bearer(raw_token({"alg": alg}, payload, signature)),
               says="algorithm that is accepted")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_public_key_is_no_secret(servers, keys, algorithm):
    """The classic forgery: HS256 with the public key, which everybody has, as its secret."""
    server = servers(auth=["jwt"], jwt=keys.section(algorithm))
    payload = {"sub": "42", "exp": int(time.time()) + 600}
    for name in ("HS256", algorithm):
        text = encode_part({"alg": name, "typ": "JWT"}) + "." + encode_part(payload)
        mac = hmac.new(keys.text[algorithm], text.encode(), hashlib.sha256).digest()
        refuse(server, bearer(text + "." + encode_part(mac)), says="jwt: it")


# Claims.

def test_times_are_checked(server, keys):
    now = int(time.time())
    refuse(server, bearer(keys.token(exp=now - 1)), says="it has expired")
    refuse(server, bearer(keys.token(exp=0)), says="it has expired")
    refuse(server, bearer(keys.token(nbf=now + 60)), says="it is not valid yet")
    admit(server, bearer(keys.token(nbf=now - 1)))
    admit(server, bearer(sign({"sub": "42", "exp": time.time() + 60.5})))
    for claims in ({"exp": "tomorrow"}, {"exp": [now + 60]}, {"nbf": "0"}, {"exp": True}):
        refuse(server, bearer(sign({"sub": "42", **claims})), says="a claim has the wrong type")


def test_leeway_forgives_a_clock_that_is_off(servers, keys):
    server = servers(auth=["jwt"], jwt=Raw(f'{{ key_file = "{keys.file["HS256"]}" leeway = 60 }}'))
    now = int(time.time())
    admit(server, bearer(keys.token(exp=now - 30)))
    admit(server, bearer(keys.token(nbf=now + 30)))
    refuse(server, bearer(keys.token(exp=now - 61)), says="it has expired")
    refuse(server, bearer(keys.token(nbf=now + 120)), says="it is not valid yet")


def test_leeway_has_its_bounds(tmp_path, keys):
    conf = tmp_path / "push.conf"
    conf.write_text(f'listen = "127.0.0.1:8080"\njwt {{ leeway = 61 }}\n')
    status, printed = run_wspushd("-t", "-c", conf)
    assert status == 1 and "jwt.leeway: 61 is above 60 seconds" in printed


def test_half_a_surrogate_pair_beside_sub_stops_no_login(server):
    r"""A name that was cut in the middle of an emoji: {"name":"x\ud83d","sub":"42"}."""
    admit(server, bearer(sign(br'{"name":"x\ud83d","sub":"42","more":["\udc00"]}')), "42")
    refuse(server, bearer(sign(br'{"sub":"42\ud83d"}')), says="not a user name")


def test_token_without_an_end_is_let_in(server):
    admit(server, bearer(sign({"sub": "42"})), "42")


def test_audience_and_issuer_are_checked_where_set(servers, keys):
    server = servers(auth=["jwt"], jwt=keys.section(audience="push", issuer="me"))
    admit(server, bearer(keys.token(aud="push", iss="me")))
    admit(server, bearer(keys.token(aud=["web", "push"], iss="me")))
    refuse(server, bearer(keys.token(iss="me")), says="another audience")
    refuse(server, bearer(keys.token(aud="web", iss="me")), says="another audience")
    refuse(server, bearer(keys.token(aud="push")), says="another issuer")
    refuse(server, bearer(keys.token(aud="push", iss="you")), says="another issuer")


def test_sub_that_is_no_user_name_is_one_log_line(server):
    time.sleep(1.1)               # the log takes ten such lines a second
    before = len(server.log())
    for name in ["", *BAD_NAMES]:
        refuse(server, bearer(sign({"sub": name})), says="not a user name")
    assert_one_line_each(server, before, len(BAD_NAMES) + 1)


def test_sub_that_is_no_text_is_refused(server):
    for payload in ({"sub": 42}, {"sub": None}, {"sub": ["42"]}, {}):
        refuse(server, bearer(sign(payload)), says="it names no user")
    refuse(server, bearer(sign(b'{"sub":"\xff"}')), says="it is not a signed")
    refuse(server, bearer(sign(b'{"sub":"1","sub":"2"}')), says="it is not a signed")


def test_cookies_of_64_kib_are_431(server, keys):
    client = server.raw()
    client.offer_bytes(upgrade_head("/ws", extra=[("Cookie", "token=" + "a" * 65536)]))
    assert client.recv_response().status == 431
    admit(server, bearer(keys.token()))


# The end of a token, and a new one in time.

@pytest.fixture
def quick(servers, keys):
    """A server that looks at each connection every second."""
    return servers(auth=["jwt"], jwt=keys.section(), heartbeat=4, heartbeat_timeout=4,
                   handshake_timeout=4)


def test_token_that_expires_closes_with_4003(quick, keys):
    end = int(time.time()) + 2
    short = admit(quick, bearer(keys.token("short", exp=end)))
    long = admit(quick, bearer(keys.token("long")))
    short.expect_close(4003)
    assert end <= time.time() < end + 3 * SLACK
    long.expect_silence()
    assert quick.admin.counter("connections_closed_total", reason="expired") >= 1


def renew(client, payload):
    """The answer to AUTH."""
    client.send_message(AUTH, payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return client.recv_message()


def test_renewed_token_takes_the_place_of_the_old_one(quick, keys):
    end = int(time.time()) + 3
    longer = admit(quick, bearer(keys.token("42", exp=end)))
    shorter = admit(quick, bearer(keys.token("43")))
    answer = renew(longer, {"token": keys.token("42")})
    assert (answer.op, answer.json()) == (ACCEPTED, {"op": 10})
    assert renew(shorter, {"token": keys.token("43", exp=end)}).op == ACCEPTED
    shorter.expect_close(4003)
    longer.expect_silence()
    assert quick.admin.counter("logins_renewed_total") == 2


def test_renewal_in_json_mode(server, keys, user):
    client = server.raw()
    client.mode = "json"
    client.send_bytes(upgrade_head("/ws", extra=[*bearer(keys.token(user)),
                                                 ("Sec-WebSocket-Protocol", "push.json.v1")]))
    client.expect_upgrade()
    client.expect_hello()
    client.send_json(AUTH, data={"token": keys.token(user)})
    assert client.recv_message() == (ACCEPTED, {"op": 10}, "data")
    client.send_json(AUTH, b64=b"\xff")
    assert client.recv_message().json()["code"] == "bad_payload"


def test_renewal_with_a_bad_token_is_forbidden_and_ends_nothing(server, keys, user):
    client = admit(server, bearer(keys.token(user)))
    for token in (keys.token(user + "x"), keys.token(user, exp=int(time.time()) - 1),
                  keys.token(user)[:-4], raw_token({"alg": "none"}, {"sub": user}), "x"):
        error = renew(client, {"token": token})
        assert error.op == ERROR and error.json()["op"] == AUTH
        assert error.json()["code"] == "forbidden"
    client.expect_silence()


@pytest.mark.parametrize("payload", [
    b"", b"{}", b"[]", b"x", b"\xff\xff", {"token": 42}, {"token": None}, {"token": ["a"]},
    {"Token": "x"}, {"token": "a" * 20000}, b'{"token":' + b"[" * 30000, b'{"token":"x"',
], ids=lambda payload: repr(payload)[:24])
def test_renewal_without_a_token_is_a_bad_payload(server, keys, user, payload):
    client = admit(server, bearer(keys.token(user)))
    error = renew(client, payload)
    assert error.op == ERROR and error.json()["code"] == "bad_payload"
    client.expect_silence()


def test_renewals_are_limited(server, keys, user):
    client = admit(server, bearer(keys.token(user)))
    for _ in range(30):
        client.send_message(AUTH, json.dumps({"token": keys.token(user)}).encode())
    answers = [client.recv_message() for _ in range(30)]
    codes = [answer.json()["code"] for answer in answers if answer.op == ERROR]
    assert len(codes) >= 15 and set(codes) == {"rate_limited"}
    client.expect_silence()


def test_without_jwt_there_is_no_renewal(servers, keys, user):
    client = servers(auth=["none"]).client(user)
    assert renew(client, {"token": keys.token(user)}).json()["code"] == "forbidden"


# Keys that the server does not start with.

@pytest.mark.parametrize("algorithm, text, says", [
    ("HS256", None, "No such file"),
    ("HS256", b"", "the secret has 0 bytes"),
    ("HS256", b"too short", "requires at least 32"),
    ("RS256", b"x" * 64, "contains no public key in PEM"),
    ("HS256", "RS256", "requires a shared secret"),
    ("ES256", "RS256", "a key on the curve P-256"),
])
def test_bad_key_is_a_configuration_error(tmp_path, keys, algorithm, text, says):
    file = tmp_path / "key"
    if text is not None:
        file.write_bytes(keys.text[text] if isinstance(text, str) else text)
    conf = tmp_path / "push.conf"
    conf.write_text(f'listen = "127.0.0.1:8080"\nauth = "jwt"\n'
                    f'jwt {{ key_file = "{file}" algorithm = "{algorithm}" }}\n')
    status, printed = run_wspushd("-t", "-c", conf)
    assert status == 1
    assert f":2: auth: jwt.key_file {file}: " in printed and says in printed
