"""Limits: devices per user, connections per address, handshakes per second."""

import contextlib
import os
import select
import signal
import socket
import time
from pathlib import Path

from harness.client import HELLO, PING, PONG, Client, encode_binary
from harness.frames import BINARY, frame
from harness.http import upgrade_head
from harness.login import admit, ask, refuse
from harness.net import free_port
from harness.wait import SLACK, TIMEOUT, wait_for


def knock(server, headers=(), target="/ws?user=u"):
    """The status of a request; the client stays where it is let in."""
    client = ask(server, headers, target=target)
    response = client.recv_response()
    if response.status == 503:
        assert 1 <= int(response.header("Retry-After")) <= 60
    if response.status != 101:
        client.close()
    return response.status


# Devices.

def test_device_too_many_is_409(servers):
    server = servers(max_devices=2)
    for number in range(8):       # homes at both workers
        user = f"reject{number}"
        first, second = server.client(user), server.client(user)
        assert refuse(server, status=409, target="/ws?user=" + user)["error"] == "too_many_devices"
        for client in (first, second):
            client.expect_silence()
        assert server.push(user, 110, text="hi") == 1
        first.close()
        wait_for(lambda user=user: knock(server, target="/ws?user=" + user) == 101, "a free place")
    assert server.admin.counter("handshakes_refused_total", reason="devices") >= 8
    server.close_clients()
    server.wait_connections(0)


def test_device_too_many_replaces_the_oldest_with_4002(servers):
    server = servers(max_devices=2, device_policy="replace")
    for number in range(8):
        user = f"replace{number}"
        clients = [server.client(user) for _ in range(2)]
        for _ in range(3):
            clients.append(server.client(user))
            clients.pop(0).expect_close(4002)
        assert server.push(user, 110, text="hi") == 1
        for client in clients:
            assert client.recv_message().bytes() == b"hi"
    assert server.admin.counter("connections_closed_total", reason="replaced") == 24


def test_only_device_is_replaced_without_a_moment_of_absence(make_server):
    server = make_server(max_devices=1, device_policy="replace")
    old = server.client("u")
    for _ in range(20):
        new = server.client("u")
        assert server.push("u", 110, text="hi") == 1
        old.expect_close(4002, skip_data=True)
        assert new.recv_message().bytes() == b"hi"
        old = new
    assert server.subscribers("u") == 1


def test_devices_are_counted_after_a_crash(make_server):
    server = make_server(max_devices=2)
    there = [server.client("u") for _ in range(2)]
    server.workers_may_change = True
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    for client in there:
        client.expect_silence()
    wait_for(lambda: server.admin.status("/readyz") == 200, "ready again")
    wait_for(lambda: knock(server) == 409, "the limit to hold again")


# Connections of one address.

def test_address_has_its_limit(make_server):
    server = make_server(max_per_address=3, trusted_proxies=["10.0.0.0/8"])
    there = [server.client(f"u{number}") for number in range(3)]
    for _ in range(20):
        assert refuse(server, status=503, target="/ws?user=x")["error"] == "address_full"
    assert server.admin.counter("handshakes_refused_total", reason="address") == 20
    there.pop().close()
    wait_for(lambda: knock(server) == 101, "a free place")
    assert knock(server) == 503
    for client in there:
        client.expect_silence()


def test_address_is_counted_on_every_way(make_server):
    """Echo, refusals, connections that never say a word, that reset: none is lost or kept."""
    server = make_server(max_per_address=10, trusted_proxies=["10.0.0.0/8"])
    for _ in range(30):
        clients = [server.raw() for _ in range(3)] + [server.echo_client(), server.client("u")]
        refuse(server, status=404, target="/nowhere")
        clients[0].reset()
        for client in clients[1:]:
            client.close()
        server.wait_connections(0)
    for number in range(10):
        server.client(f"u{number}")
    assert knock(server) == 503


def test_clients_of_a_proxy_are_counted_each_by_itself(make_server):
    server = make_server(max_per_address=2)

    def come(address, user="u"):
        return knock(server, [("X-Forwarded-For", address)], f"/ws?user={user}")

    for number in range(30):
        assert come(f"192.0.2.{number}", f"u{number}") == 101
        assert come(f"192.0.2.{number}", f"v{number}") == 101
        assert come(f"192.0.2.{number}", f"w{number}") == 503
    assert [come(f"2001:db8::{n}") for n in (1, 2, 3)] == [101, 101, 503], "one network of 64 bits"
    assert come("2001:db8:0:1::1") == 101
    assert [knock(server) for _ in range(4)] == [101] * 4, "the proxy itself has no limit"


def test_addresses_are_counted_after_a_crash(make_server):
    server = make_server(max_per_address=3, trusted_proxies=["10.0.0.0/8"])
    there = [server.client(f"u{number}") for number in range(3)]
    server.workers_may_change = True
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    for client in there:
        client.expect_silence()
    wait_for(lambda: server.admin.status("/readyz") == 200, "ready again")
    assert knock(server) == 503
    there[0].close()
    wait_for(lambda: knock(server) == 101, "a free place")
    assert knock(server) == 503


def connect_from(server, address):
    """A raw connection from another address of this machine, which has said nothing yet."""
    sock = socket.socket()
    sock.settimeout(TIMEOUT)
    sock.bind((address, 0))
    sock.connect(server.address)
    return sock


def held(sockets):
    """Those that the server has neither answered nor closed."""
    for sock in sockets:
        sock.setblocking(False)
    readable, _, _ = select.select(sockets, [], [], 0)
    return len(sockets) - len(readable)


def test_address_has_its_limit_on_silence(make_server):
    """Silent connections do not keep other clients out."""
    server = make_server(max_per_address=5, max_connections=50, trusted_proxies=["10.0.0.0/8"],
                         handshake_timeout=60)
    there = [connect_from(server, "127.0.0.1") for _ in range(200)]
    wait_for(lambda: held(there) <= 5, "no more than the limit to be left")
    assert 1 <= held(there)
    assert server.admin.connections() == held(there)
    assert refused(server, "address") == len(there) - held(there)
    with connect_from(server, "127.0.0.77") as honest:
        honest.sendall(upgrade_head("/ws?user=honest"))
        assert honest.recv(4096).startswith(b"HTTP/1.1 101 ")
    for sock in there:
        with contextlib.suppress(BlockingIOError):
            answer = sock.recv(4096)
            assert answer.startswith(b"HTTP/1.1 503 ") and b'"address_full"' in answer
            assert sock.recv(4096) == b""
        sock.close()
    wait_for(lambda: knock(server) == 101, "a free place")


def test_half_a_head_is_counted_too(make_server):
    server = make_server(max_per_address=2, trusted_proxies=["10.0.0.0/8"], handshake_timeout=60)
    there = [server.raw() for _ in range(2)]
    for client in there:
        client.send_bytes(upgrade_head()[:30])
    server.wait_connections(2)
    assert refuse(server, status=503, target="/ws?user=x")["error"] == "address_full"
    assert refuse(server, status=503, target="/nowhere")["error"] == "address_full"
    there.pop().close()
    wait_for(lambda: knock(server) == 101, "a free place")


def test_client_of_a_proxy_header_has_its_limit_on_silence(make_server):
    server = make_server(max_per_address=3, listen=[f"127.0.0.1:{free_port()} proxy"],
                         handshake_timeout=60)
    line = b"PROXY TCP4 %b 127.0.0.1 1000 80\r\n"

    def come(address):
        client = server.raw()
        client.send_bytes(line % address)
        return client

    for number in range(4):
        for _ in range(3):
            come(b"192.0.2.%d" % number)
        server.wait_connections(3 * (number + 1))
        assert come(b"192.0.2.%d" % number).recv_response().json()["error"] == "address_full"
    silent_proxy = [server.raw() for _ in range(10)]
    server.wait_connections(12 + len(silent_proxy))


# Handshakes a second.

def test_handshakes_a_second_have_their_limit(make_server):
    server = make_server(handshake_rate=10)
    begun = time.monotonic()
    statuses = [knock(server, target=f"/ws?user=u{number}") for number in range(60)]
    seconds = time.monotonic() - begun
    assert set(statuses) == {101, 503}
    assert 10 <= statuses.count(101) <= 10 * (seconds + 2)
    assert refused(server, "rate") == statuses.count(503)
    time.sleep(1.1)
    assert knock(server) == 101


def refused(server, reason):
    return server.admin.counter("handshakes_refused_total", reason=reason)


# Handshakes that never end.

def test_a_thousand_unfinished_handshakes_beside_one_that_is(make_server):
    server = make_server(handshake_timeout=3)
    crowd = [server.raw() for _ in range(1000)]
    for number, client in enumerate(crowd):
        client.send_bytes(upgrade_head()[:number % 100])
    begun = time.monotonic()
    good = admit(server, target="/ws?user=good")
    assert time.monotonic() - begun < 1 * SLACK
    assert server.push("good", 110, text="hi") == 1
    assert good.recv_message().bytes() == b"hi"
    server.wait_connections(1)
    for client in crowd[::100]:
        client.expect_end()
    good.expect_silence()
    assert refused(server, "timeout") == 1000


# A crowd.

def test_crowd_for_a_worker_that_is_busy_waits_and_is_not_refused(make_server):
    """600 clients with 3,000 bytes after each head send more than fits into the ring to a stopped
    worker."""
    server = make_server(workers=2, max_push=1024, watchdog=60, handshake_timeout=60)
    busy, other = (worker["pid"] for worker in server.admin.workers())
    ping = frame(BINARY, encode_binary(PING, b"p" * 3000))
    with server.swarm() as swarm:
        os.kill(busy, signal.SIGSTOP)
        try:
            clients = [swarm.add(Client(server.address)) for _ in range(600)]
            for number, client in enumerate(clients):
                client.send_bytes(upgrade_head(f"/ws?user=u{number}") + ping)
            swarm.pump(lambda: sum(bool(client.frames) for client in clients) > 200, "some")
            wait_for(lambda: idle(other), "the other worker to have done what it can")
        finally:
            os.kill(busy, signal.SIGCONT)
        swarm.pump(lambda: all(len(client.frames) > 1 or client.ended for client in clients),
                   "HELLO and PONG for all")
        for client in clients:
            client.expect_upgrade()
            got = {message.op: message.payload for message in client.messages()}
            assert set(got) == {HELLO, PONG} and got[PONG] == b"p" * 3000
    assert refused(server, "not_ready") == 0


def idle(pid):
    """Whether a process sleeps, and has had no turn for a moment."""
    def spent():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[11], fields[12]
    before = spent()
    time.sleep(0.1)
    return before[0] == "S" and spent() == before
