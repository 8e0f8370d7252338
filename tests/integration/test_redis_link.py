"""The link to Redis: down, up again, slow to answer, locked with a password."""

import ctypes
import os
import signal
import socket
import time

import pytest

from harness.client import ERROR, GAP, PING, PONG
from harness.http import upgrade_head
from harness.net import free_port
from harness.redis_server import MuteServer
from harness.wait import SLACK, wait_for

RECONNECT = 30 * SLACK
"""Seconds within which the link must be back: the back-off may have grown meanwhile."""

LINK_LINES = r"(?i)redis|link"

PIDFD_GETFD = 438
"""The number of that system call, the same on every architecture."""


def handshake(server, user="late"):
    client = server.raw()
    client.send_bytes(upgrade_head("/ws?user=" + user))
    return client, client.recv_response()


def expect_503(server):
    """A new handshake while there is no link."""
    client, response = handshake(server)
    assert response.status == 503
    assert 1 <= int(response.header("Retry-After")) <= 60
    assert response.json()["error"]
    client.expect_end()


def wait_not_ready(server, timeout=RECONNECT):
    wait_for(lambda: server.admin.status("/readyz") == 503, "/readyz 503", timeout)


def wait_ready(server, timeout=RECONNECT):
    wait_for(server.admin.ready, "/readyz 200", timeout, interval=0.02)


def expect_gap(client, since):
    """The next message is a GAP of at most the time since then."""
    message = client.recv_message(timeout=RECONNECT)
    assert message.op == GAP, message
    gap = message.json()
    assert set(gap) >= {"ms"} and type(gap["ms"]) is int
    assert 0 <= gap["ms"] <= (time.monotonic() - since) * 1000 + 5000, gap
    return gap["ms"]


@pytest.fixture
def linked(own_redis, make_server):
    """A server with a private Redis that the test may disturb."""
    redis = own_redis().start()
    server = make_server(redis_server=redis)
    server.expect_log(LINK_LINES)
    return server


# Down at start.

def test_without_redis_the_server_starts_and_is_not_ready(own_redis, make_server):
    server = make_server(redis_server=own_redis(), ready=False)
    server.expect_log(LINK_LINES)
    assert server.admin.status("/healthz") == 200
    assert server.admin.status("/readyz") == 503
    expect_503(server)


def test_server_becomes_ready_by_itself_when_redis_starts(own_redis, make_server):
    redis = own_redis()
    server = make_server(redis_server=redis, ready=False)
    server.expect_log(LINK_LINES)
    assert server.admin.status("/readyz") == 503
    redis.start()
    wait_ready(server)
    client = server.client("u")
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1
    client.expect_silence()


def test_unix_socket_of_redis_that_is_not_there_yet(own_redis, make_server):
    redis = own_redis()
    server = make_server(redis_server=redis, redis=f"unix://{redis.socket_path}?db=0", ready=False)
    server.expect_log(LINK_LINES)
    redis.start()
    wait_ready(server)
    client = server.client("u")
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


# Killed and restarted.

def test_redis_killed_and_restarted(linked):
    """Clients stay; each gets one GAP when the link is back, and then every push."""
    modes = ["binary", "json"]
    clients = [linked.client(f"u{n}", modes[n % 2]) for n in range(20)]
    echo = linked.echo_client()
    down = time.monotonic()
    linked.redis.kill()
    wait_not_ready(linked)
    assert linked.admin.status("/healthz") == 200
    expect_503(linked)
    for client in clients:
        client.expect_silence()
    echo.echo()
    linked.redis.start()
    for client in clients:
        assert expect_gap(client, down) > 0
    wait_ready(linked)
    for number, client in enumerate(clients):
        assert linked.push(f"u{number}", 110, data=number) == 1
        assert client.recv_message().json() == number, "one GAP and no more"
    echo.echo()
    late = linked.client("late")
    assert linked.push("late", 110, data=1) == 1
    assert late.recv_message().json() == 1, "no GAP for a client that connected later"


def test_after_its_gap_a_client_gets_every_push(linked):
    """GAP comes only once the subscription is made again: a push published upon it arrives."""
    clients = [linked.client(f"u{n}") for n in range(30)]
    linked.redis.kill()
    wait_not_ready(linked)
    linked.redis.start()
    for number, client in enumerate(clients):
        message = client.recv_message(timeout=RECONNECT)
        assert message.op == GAP
        assert linked.push(f"u{number}", 110, data=number) == 1
        assert client.recv_message().json() == number


def test_each_outage_has_its_gap(linked):
    client = linked.client("u")
    for turn in range(2):
        down = time.monotonic()
        linked.redis.kill()
        wait_not_ready(linked)
        linked.redis.start()
        expect_gap(client, down)
        assert linked.push("u", 110, data=turn) == 1
        assert client.recv_message().json() == turn
        wait_ready(linked)


def test_subscriptions_that_redis_cuts_are_made_again(linked):
    """CLIENT KILL: Redis lives, only our connections are cut."""
    clients = [linked.client(f"u{n}") for n in range(10)]
    down = time.monotonic()
    assert linked.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 1
    for client in clients:
        expect_gap(client, down)
    wait_ready(linked)
    for number, client in enumerate(clients):
        assert linked.push(f"u{number}", 110, data=number) == 1
        assert client.recv_message().json() == number
    assert linked.publish("all", {"op": 111, "data": "all"}) == 1
    for client in clients:
        assert client.recv_message() == (111, b'"all"', "binary")


def test_user_who_left_while_redis_was_down_is_offline_after(linked):
    stays, leaves = linked.client("stays"), linked.client("leaves")
    linked.redis.kill()
    wait_not_ready(linked)
    leaves.close()
    wait_for(lambda: not linked.admin.user("leaves"), "the connection to be gone")
    linked.redis.start()
    assert stays.recv_message(timeout=RECONNECT).op == GAP
    wait_ready(linked)
    assert linked.subscribers("leaves") == 0
    assert linked.subscribers("stays") == 1


def test_client_whose_hello_was_pending_gets_it_or_a_clear_end(linked):
    """Handshakes race the end of Redis: none hangs, none gets HELLO without a subscription."""
    racing = []
    for number in range(40):
        client = linked.raw()
        client.send_bytes(upgrade_head(f"/ws?user=r{number}"))
        racing.append(client)
        if number == 20:
            linked.redis.kill()
    wait_not_ready(linked)
    linked.redis.start()
    wait_ready(linked)
    for number, client in enumerate(racing):
        response = client.recv_response()
        if response.status == 503:
            continue
        client.expect_upgrade()
        client.expect_hello()
        assert linked.push(f"r{number}", 110, data=number) == 1
        message = client.recv_message()
        if message.op == GAP:
            message = client.recv_message()
        assert message.json() == number


def test_requests_are_answered_while_redis_is_down(linked):
    """Messages of the opcode protocol that do not need Redis do not wait for it."""
    client = linked.client("u")
    linked.redis.kill()
    wait_not_ready(linked)
    client.send_message(PING, b"p")
    assert client.recv_message() == (PONG, b"p", "binary")
    client.send_message(99, b"unknown")
    assert client.recv_message().op == ERROR


# Redis that is there but does not answer.

def test_readyz_is_a_real_probe(linked):
    """Redis stopped in its tracks: every socket is open, and yet we are not ready."""
    client = linked.client("u")
    os.kill(linked.redis.process.pid, signal.SIGSTOP)
    try:
        wait_not_ready(linked)
        client.expect_silence()
        assert linked.admin.status("/healthz") == 200
    finally:
        os.kill(linked.redis.process.pid, signal.SIGCONT)
    wait_ready(linked)

    def arrives():
        linked.push("u", 110, data="after")
        return client.recv_message(timeout=RECONNECT).op in (GAP, 110)

    wait_for(arrives, "pushes again")


def test_redis_that_accepts_and_never_answers(own_redis, make_server):
    redis = own_redis()
    mute = MuteServer(redis.port)
    try:
        server = make_server(redis_server=redis, ready=False)
        server.expect_log(LINK_LINES)
        mute.accept()
        assert server.admin.status("/healthz") == 200
        assert server.admin.status("/readyz") == 503
        expect_503(server)
    finally:
        mute.close()
    redis.start()
    wait_ready(server)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-LOADING loading\r\n" * 4, b"*3\r\n$-5\r\n",
    b"$99999999999\r\n", b"\x00" * 100, b":1\r\n" * 50,
], ids=lambda answer: repr(answer[:16]))
def test_redis_that_answers_nonsense(own_redis, make_server, answer):
    redis = own_redis()
    mute = MuteServer(redis.port)
    try:
        server = make_server(redis_server=redis, ready=False, workers=1)
        server.expect_log(LINK_LINES)
        for _ in range(2):
            peer = mute.accept()
            peer.sendall(answer)
            peer.close()
        assert server.admin.status("/readyz") == 503
    finally:
        mute.close()
    redis.start()
    wait_ready(server)


# A peer that is gone without a word.

def redis_sockets(server):
    """Copies of the server's TCP sockets to Redis."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(server.pid)
    found = []
    for name in os.listdir(f"/proc/{server.pid}/fd"):
        if not os.readlink(f"/proc/{server.pid}/fd/{name}").startswith("socket:"):
            continue
        sock = socket.socket(fileno=libc.syscall(PIDFD_GETFD, process, int(name), 0))
        try:
            if sock.getpeername() == server.redis.address:
                found.append(sock)
                continue
        except OSError:
            pass
        sock.close()
    os.close(process)
    return found


def test_kernel_watches_both_links(linked):
    """A firewall that has forgotten a connection, a host that is gone: noticed within 15 s."""
    sockets = redis_sockets(linked)
    assert len(sockets) == 2 * linked.config["workers"]
    for sock in sockets:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, every, count = (sock.getsockopt(socket.IPPROTO_TCP, option) for option in (
            socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT))
        assert idle + every * count <= 15
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15000
        sock.close()


# Addresses, passwords, databases.

def login_works(server):
    client = server.client("u")
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


def test_password_and_database(own_redis, make_server):
    redis = own_redis(password="p w%/é").start()
    server = make_server(redis_server=redis,
                         redis=f"redis://:p%20w%25%2F%C3%A9@127.0.0.1:{redis.port}/3")
    login_works(server)
    entries = [entry for entry in redis.client.client_list() if entry["addr"].startswith("127.")]
    assert any(int(entry["sub"]) > 0 for entry in entries)
    assert any(entry["db"] == "3" for entry in entries), "commands go to the database"


def test_user_and_password(own_redis, make_server):
    redis = own_redis().start()
    redis.client.execute_command("ACL", "SETUSER", "alice", "on", ">secret", "allchannels", "+@all")
    server = make_server(redis_server=redis, redis=f"redis://alice:secret@127.0.0.1:{redis.port}/0")
    login_works(server)
    entries = [entry for entry in redis.client.client_list() if entry["addr"].startswith("127.")]
    assert entries and all(entry["user"] == "alice" for entry in entries)


def test_password_over_a_unix_socket(own_redis, make_server):
    redis = own_redis(password="secret").start()
    server = make_server(redis_server=redis, redis=f"unix://:secret@{redis.socket_path}?db=2")
    login_works(server)


def test_unix_socket(redis, make_server):
    login_works(make_server(redis=f"unix://{redis.socket_path}?db=0"))


def test_unix_socket_without_a_database(redis, make_server):
    login_works(make_server(redis=f"unix://{redis.socket_path}"))


def test_host_by_name(redis, make_server):
    login_works(make_server(redis=f"redis://localhost:{redis.port}"))


def test_wrong_password_is_told_and_tried_again(own_redis, make_server):
    redis = own_redis(password="right").start()
    server = make_server(redis_server=redis, redis=f"redis://:wrong-guess@127.0.0.1:{redis.port}/0",
                         ready=False)
    server.expect_log(LINK_LINES)
    wait_for(lambda: "WRONGPASS" in server.log() or "password" in server.log().lower(),
             "a line about the password")
    assert "wrong-guess" not in server.log(), "passwords must not be logged"
    assert server.admin.status("/readyz") == 503
    expect_503(server)
    redis.client.config_set("requirepass", "wrong-guess")
    wait_ready(server)
    redis.client.connection_pool.connection_kwargs["password"] = "wrong-guess"
    redis.password = "wrong-guess"
    login_works(server)


def test_missing_password_is_told(own_redis, make_server):
    redis = own_redis(password="right").start()
    server = make_server(redis_server=redis, redis=f"redis://127.0.0.1:{redis.port}/0", ready=False)
    server.expect_log(LINK_LINES)
    wait_for(lambda: "NOAUTH" in server.log() or "auth" in server.log().lower(),
             "a line about the login")
    assert server.admin.status("/readyz") == 503


def test_retries_are_spaced_out(make_server, own_redis):
    """A Redis that is down is not hammered: no more than a few tries a second for each worker."""
    port = free_port()
    server = make_server(redis_server=own_redis(), redis=f"redis://127.0.0.1:{port}/0", ready=False,
                         workers=1)
    server.expect_log(LINK_LINES)
    lines = server.log().count("\n")
    time.sleep(3)
    assert server.log().count("\n") - lines < 60
