"""Login by session: looked up in Redis, delaying only the connection that logs in."""

import json
import signal
import time

import pytest

from harness import frames as ws
from harness.client import PING, PONG, encode_binary
from harness.http import upgrade_head
from harness.login import BAD_NAMES, admit, ask, assert_one_line_each, refuse, section, sid
from harness.wait import SLACK, wait_for


@pytest.fixture
def server(servers):
    return servers(auth=["session"],
                   session=section(cookie="sid", header="X-Session", prefix="sess:"))


@pytest.fixture
def store(redis):
    """store(name, value): a session."""
    return lambda name, value: redis.client.set("sess:" + name, value)


@pytest.mark.parametrize("stored", ["%s", '{"user":"%s"}', ' {"role":"x","user":"%s","n":[1]}'])
def test_session_names_its_user(server, store, user, stored):
    store(user, stored % user)
    admit(server, sid(user), user).expect_silence()
    admit(server, [("X-Session", user)], user)


def test_half_a_surrogate_pair_beside_the_user_stops_no_login(server, store, user):
    store(user, r'{"name":"x\ud83d","user":"%s"}' % user)
    admit(server, sid(user), user)


def test_an_empty_cookie_or_header_does_not_hide_the_next(server, store, user):
    """Browsers send the cookies of longer paths first, also one that a logout has left empty."""
    store(user, user)
    admit(server, [("Cookie", f"sid=; sid={user}")], user)
    admit(server, [("Cookie", "sid="), ("Cookie", f"sid={user}")], user)
    admit(server, [("X-Session", ""), ("Cookie", f"sid={user}")], user)
    refuse(server, [("Cookie", "sid=; sid=")], says="there is no session")


def test_session_with_a_number_for_its_user(server, store):
    store("number", '{"user":42}')
    admit(server, sid("number"), "42")


def test_session_that_is_none_is_refused(server, redis):
    redis.client.rpush("sess:list", "42")
    redis.client.hset("sess:hash", "user", "42")
    refuse(server, says="session: there is no session")
    refuse(server, sid(""), says="session: there is no session")
    refuse(server, sid("gone"), says="session: there is no such session")
    refuse(server, sid("list"), says="session: the session is of the wrong type")
    refuse(server, sid("hash"), says="session: the session is of the wrong type")
    refuse(server, sid("x" * 1025), says="session: the session is too long")


@pytest.mark.parametrize("stored", [
    b"{}", b"{", b'{"user":null}', b'{"user":{"id":1}}', b'{"user":""}', b"", b"\xff",
    b"[" * 100000, b'{"user":' + b"[" * 100000, b'{"user":"1","user":"2"}', b"a" * 64,
    b"{" + b" " * 1000000,
], ids=lambda stored: repr(stored)[:24])
def test_session_that_names_no_user_is_refused(server, store, stored):
    store("bad", stored)
    refuse(server, sid("bad"), says="session: ")


def test_session_user_that_is_no_name_is_one_log_line(server, store):
    time.sleep(1.1)               # the log takes ten such lines a second
    before = len(server.log())
    names = [name for name in BAD_NAMES if len(name) < 64]
    for name in names:
        store("evil", json.dumps({"user": name}))
        refuse(server, sid("evil"), says="not a user name")
    store("evil", b"a\xffb\nbreak")
    refuse(server, sid("evil"), says="not a user name")
    assert_one_line_each(server, before, len(names) + 1)


def test_session_is_looked_up_as_it_is(server, redis):
    """Redis's protocol has lengths: no value of a cookie is a command."""
    redis.client.set("canary", "alive")
    for value in ("x%0d%0aFLUSHALL", "*", "../../canary", "a b", "é"):
        refuse(server, sid(value), says="there is no such session")
    assert redis.client.get("canary") == b"alive"


def test_frames_behind_the_head_wait_for_the_login(server, store, user):
    store(user, user)
    client = server.raw()
    client.send_bytes(upgrade_head("/ws", extra=sid(user))
                      + ws.frame(ws.BINARY, encode_binary(PING, b"early")))
    client.expect_upgrade()
    assert (PONG, b"early", "binary") in [client.recv_message() for _ in range(2)]


def test_head_byte_by_byte(server, store, user):
    store(user, user)
    client = server.raw()
    for byte in upgrade_head("/ws", extra=sid(user)):
        client.send_bytes(bytes([byte]))
    client.expect_upgrade()
    assert client.expect_hello()["user"] == user


def test_three_hundred_logins_at_once(server, store, user):
    names = [f"{user}.{number}" for number in range(300)]
    for name in names:
        store(name, name)
    clients = [ask(server, sid(name)) for name in names]
    for name, client in zip(names, clients):
        client.expect_upgrade()
        assert client.expect_hello()["user"] == name


# Redis that is slow, or away.

@pytest.fixture
def hanging(make_server, own_redis):
    """Returns (server, its private Redis)."""
    redis = own_redis().start()
    server = make_server(redis_server=redis, auth=["session", "none"], auth_timeout=1)
    redis.client.set("session:good", "good")
    yield server, redis
    if redis.process:
        redis.process.send_signal(signal.SIGCONT)


def stop(redis):
    redis.process.send_signal(signal.SIGSTOP)


def go_on(redis):
    redis.process.send_signal(signal.SIGCONT)


def test_redis_that_hangs_is_503_in_time_and_others_go_on(hanging):
    server, redis = hanging
    there = [server.client(f"u{number}") for number in range(4)]
    stop(redis)
    begun = time.monotonic()
    waiting = [ask(server, sid("good")) for _ in range(50)]
    for client in there:
        asked = time.monotonic()
        client.expect_silence()
        assert time.monotonic() - asked < 0.5 * SLACK, "no client waits for another client's login"
    for client in waiting:
        response = client.recv_response()
        assert response.status == 503
        assert response.json() == {
            "error": "login_unavailable",
            "message": "session: Redis does not answer; none: no user is given: add ?user=NAME"}
        assert 1 <= int(response.header("Retry-After")) <= 60
    assert 0.9 < time.monotonic() - begun < 3 * SLACK
    assert server.admin.counter("handshakes_refused_total", reason="login_unavailable") == 50
    go_on(redis)
    admit(server, sid("good"), "good")


def test_method_behind_a_session_that_cannot_be_asked_may_vouch(hanging):
    server, redis = hanging
    stop(redis)
    client = ask(server, sid("good"), target="/ws?user=fallback")
    client.expect_upgrade()
    go_on(redis)
    assert client.expect_hello()["user"] == "fallback"


def test_whoever_waits_and_leaves_harms_nobody(hanging):
    server, redis = hanging
    stop(redis)
    for number in range(50):
        client = ask(server, sid("good"))
        client.reset() if number % 2 else client.close()
    assert ask(server, sid("good")).recv_response().status == 503
    go_on(redis)
    server.close_clients()
    server.wait_connections(0)
    admit(server, sid("good"), "good")


def test_answer_that_comes_too_late_is_nobodys(hanging):
    """The descriptors are other clients' by then."""
    server, redis = hanging
    stop(redis)
    late = [ask(server, sid("good")) for _ in range(20)]
    for client in late:
        assert client.recv_response().status == 503
    server.close_clients()
    waiting = [ask(server, sid("gone")) for _ in range(20)]
    wait_for(lambda: server.admin.connections() == 20, "twenty connections")
    go_on(redis)
    for client in waiting:
        assert client.recv_response().status == 401


def test_worker_that_dies_while_a_login_waits(hanging):
    server, redis = hanging
    stop(redis)
    waiting = [ask(server, sid("good")) for _ in range(10)]
    wait_for(lambda: server.admin.connections() == 10, "ten connections")
    server.workers_may_change = True
    server.kill_workers()
    for client in waiting:
        client.expect_end()
    go_on(redis)
    wait_for(lambda: server.admin.status("/readyz") == 200, "ready again")
    server.wait_connections(0)
    wait_for(lambda: ask(server, sid("good")).recv_response().status == 101, "a login")


def test_redis_that_is_away_is_503_at_once(hanging):
    server, redis = hanging
    redis.kill()
    wait_for(lambda: server.admin.status("/readyz") == 503, "not ready")
    begun = time.monotonic()
    refuse(server, sid("good"), 503)
    assert time.monotonic() - begun < 0.5 * SLACK
