"""Workers are killed, stopped and replaced; the clients notice nothing.

A push that a dying worker had in hand may arrive twice: its successor cannot always know whether the
kernel had taken it. So these tests allow duplicates, but no loss and no wrong order.
"""

import os
import signal
import time

import pytest

from harness import admin
from harness.client import GAP, PING, Closed, encode_binary
from harness.frames import BINARY, CLOSE, frame
from harness.http import upgrade_head
from harness.net import can_connect
from harness.process import alive, descriptors
from harness.publisher import Publisher, check_received, last_number, pull_all
from harness.wait import SLACK, sanitizer_options, wait_for

PROMPT = 2 * SLACK
"""Seconds within which clients of a dead worker must be served again. (Milliseconds, as a rule.)"""


def test_each_worker_killed_under_load_with_200_clients(mortal):
    server = mortal(workers=4)
    users = [f"u{n}" for n in range(200)]
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users)
        publisher = Publisher(server, users)
        publisher.start()
        for worker in server.admin.workers():
            swarm.pump_for(0.2)
            os.kill(worker["pid"], signal.SIGKILL)
            killed, seen = time.monotonic(), publisher.rounds + 1
            swarm.pump(lambda seen=seen: all(int(last_number(c) or -1) >= seen for c in clients),
                       "new pushes for everyone")
            assert time.monotonic() - killed < PROMPT, "served again, but late"
            server.wait_replaced(worker)
        rounds = publisher.finish()
        pull_all(swarm, clients, rounds)
        repeats = check_received(clients, rounds)
        assert publisher.unheard == 0, "the subscriptions outlive the workers"
        assert repeats <= 4 * len(users), f"{repeats} repeats"
        assert server.admin.connections() == 200
        for user in users[:20]:
            assert server.push(user, 111, data="after") == 1
        for client in clients[:20]:
            assert client.recv_message() == (111, b'"after"', "binary")
            client.expect_silence()


def test_all_workers_killed_at_once(mortal):
    server = mortal(workers=3)
    users = [f"u{n}" for n in range(60)]
    clients = [server.client(user) for user in users]
    old = server.admin.workers()
    for worker in old:
        os.kill(worker["pid"], signal.SIGKILL)
    replies = server.redis.publish_many(
        (server.channel("user:" + user), b"\0\0\0\x6enow") for user in users)
    assert replies == [1] * len(users), "Redis still has their subscriptions"
    for client in clients:
        assert client.recv_message().payload == b"now"
    for worker in old:
        server.wait_replaced(worker)
    assert server.publish("all", {"op": 111}) == 1
    for client in clients:
        assert client.recv_message() == (111, b"", "binary")


def test_whole_node_serves_on_after_a_kill(mortal):
    server = mortal(opcodes=['opcode 100 { name = "echo" to = "echo" }'])
    clients = [server.client(f"u{n}", ("binary", "json")[n % 2]) for n in range(20)]
    echo = server.echo_client()
    for worker in server.admin.workers():
        server.kill_worker(worker)
        assert server.admin.status("/healthz") == 200
        wait_for(server.admin.ready, "/readyz 200")
        echo.echo(b"pid %d" % worker["pid"])
        for client in clients:
            client.expect_silence()
        fresh = server.client("fresh%d" % worker["slot"])
        fresh.send_message(100, b"e")
        assert fresh.recv_message() == (100, b"e", "binary")
        assert server.push("fresh%d" % worker["slot"], 110, data=1) == 1
        assert fresh.recv_message().json() == 1
    stats = server.admin.stats()
    assert sorted(worker["pid"] for worker in stats["workers"]) == server.worker_pids()
    assert stats["connections"] == 23
    assert server.admin.counter(admin.TAKEOVERS) >= 2


def test_user_leaves_after_a_kill_and_is_offline(mortal):
    """The successor has the user index too: what its predecessor subscribed it can give up."""
    server = mortal()
    clients = {f"u{n}": server.client(f"u{n}") for n in range(10)}
    second = server.client("u0")
    for worker in server.admin.workers():
        server.kill_worker(worker)
    for user, client in clients.items():
        client.close()
        if user != "u0":
            wait_for(lambda user=user: server.push(user, 110) == 0, "the user to be offline")
    wait_for(lambda: len(server.admin.user("u0")) == 1, "one device left")
    assert server.push("u0", 110, data=1) == 1
    assert second.recv_message().json() == 1


def test_20_kills_in_a_row_leak_nothing(mortal):
    """Five deaths for each worker: one that dies young repeatedly is restarted later each time."""
    server = mortal(workers=4)
    clients = [server.client(f"u{n}") for n in range(30)]
    server.kill_worker(server.admin.workers()[0])
    wait_for(lambda: "event=took_over" in server.log(), "the successor to have all that it opens")
    wait_for(server.admin.ready, "/readyz 200")
    before = descriptors(server.pid)
    for number in range(20):
        server.kill_worker(server.admin.workers()[number % 4])
    for number, client in enumerate(clients):
        assert server.push(f"u{number}", 110, data=number) == 1
        while True:
            message = client.recv_message()
            assert message.op != GAP, "the link to Redis outlives the workers"
            if message.op == 110:
                break
        assert message.json() == number
    wait_for(lambda: descriptors(server.pid) <= before,
             f"{before} descriptors as before (now {descriptors(server.pid)})")
    assert server.admin.connections() == 30


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
def test_worker_that_ends_by_any_signal_is_replaced(mortal, monkeypatch, number):
    sanitizer_options(monkeypatch, "handle_segv=0:handle_abort=0") # the signal is ours, not a bug
    server = mortal()
    client = server.client("u")
    for worker in server.admin.workers():
        if number == signal.SIGTERM:
            os.kill(worker["pid"], number)
            client.expect_silence()
        else:
            server.kill_worker(worker, number)
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


def test_worker_that_hangs_is_killed_and_replaced(mortal):
    """SIGSTOP: the worker is alive, but its heartbeat has stopped."""
    server = mortal(watchdog=1)
    clients = [server.client(f"u{n}") for n in range(20)]
    workers = server.admin.workers()
    for worker in workers:
        os.kill(worker["pid"], signal.SIGSTOP)
    for worker in workers:
        server.wait_replaced(worker)
        assert not alive(worker["pid"])
    for number, client in enumerate(clients):
        assert server.push(f"u{number}", 110, data=number) == 1
        assert client.recv_message().json() == number


# What was under way when the worker died.

def test_handshakes_under_way_are_finished_or_ended(mortal):
    server = mortal(handshake_timeout=2)
    head = upgrade_head("/ws?user=u")
    waiting = []
    for number in range(60):
        client = server.raw()
        client.send_bytes(head[:number * 2])
        waiting.append(client)
    good = server.client("good")
    for worker in server.admin.workers():
        server.kill_worker(worker)
    for number, client in enumerate(waiting):
        client.offer_bytes(head[number * 2:])
    for client in waiting:
        try:
            response = client.recv_response()
        except Closed:
            continue
        if response.status == 101:
            client.expect_upgrade()
            client.expect_hello()
        client.close()
    good.expect_silence()
    server.wait_connections(1)


def test_message_cut_by_a_kill_is_answered_whole_or_closed_with_1012(mortal):
    """Data that was only in the dead worker's memory is lost. Then the connection must end; the rest
    of a frame must never be parsed as a frame."""
    server = mortal(workers=1)
    data = frame(BINARY, b"the payload of the message" * 20)
    clients = []
    for at in range(1, len(data), 13):
        client = server.echo_client()
        client.send_bytes(data[:at])
        clients.append((client, at))
    untouched = server.echo_client()
    untouched.echo()
    server.kill_worker(server.admin.workers()[0])
    for client, at in clients:
        client.offer_bytes(data[at:])
    for client, at in clients:
        try:
            got = client.recv_frame()
        except Closed as closed:
            assert closed.how in ("eof", "reset")
            continue
        if got.opcode == CLOSE:
            assert got.payload[:2] == (1012).to_bytes(2, "big"), got
        else:
            assert got.payload == b"the payload of the message" * 20
            client.echo()
    untouched.echo()


def test_fragmented_message_cut_by_a_kill(mortal):
    server = mortal(workers=1)
    client, idle = server.client("u"), server.client("idle")
    client.send_bytes(frame(BINARY, encode_binary(PING, b"one "), fin=False))
    client.send_frame(0x9, b"fence")
    assert client.recv_pong() == b"fence"
    server.kill_worker(server.admin.workers()[0])
    client.offer_bytes(frame(0x0, b"two"))
    try:
        got = client.recv_frame()
        assert got.opcode == CLOSE and got.payload[:2] == (1012).to_bytes(2, "big") \
            or got.payload[4:] == b"one two", got
    except Closed:
        pass
    idle.expect_silence()
    wait_for(lambda: server.admin.connections() <= 2, "the connections to be counted")


def test_frames_that_waited_in_a_dead_worker_never_tear_the_stream(mortal):
    """A backlog dies with its worker. What the client got of it must be whole frames, in order,
    or end within one: never the middle of a frame followed by another frame."""
    server = mortal(workers=1, send_buffer=16384, queue_limit=16 << 20)
    clients = [server.client(f"u{n}", receive_buffer=4096) for n in range(5)]
    for number in range(5):
        server.redis.publish_many((server.channel(f"user:u{number}"),
                                   b"\0\0\0\x6e%08d" % n + b"z" * (5000 * number + 10))
                                  for n in range(200))
    wait_for(lambda: server.admin.counter(admin.RECEIVED) >= 1000, "every push taken")
    server.kill_worker(server.admin.workers()[0])
    for number, client in enumerate(clients):
        server.push(f"u{number}", 111, text="after")
        got, last = [], None
        try:
            while last != 111:
                last, payload = client.recv_message()[:2]
                if last == 110:
                    assert payload[8:] == b"z" * (5000 * number + 10)
                    got.append(int(payload[:8]))
        except Closed as closed:
            assert closed.code in (None, 1012)
        numbers = list(dict.fromkeys(got))
        assert numbers == list(range(len(numbers))), "in order, without a gap"
        assert last != 111 or len(numbers) == 200, "continued although pushes were lost"


def test_pushes_between_death_and_succession_arrive(mortal):
    """They wait in Redis's socket, which outlives the worker."""
    server = mortal(workers=1)
    client = server.client("u")
    for turn in range(4):
        old = server.admin.workers()[0]
        os.kill(old["pid"], signal.SIGKILL)
        assert server.push("u", 110, data=turn) == 1
        assert client.recv_message().json() == turn
        server.wait_replaced(old)
    client.expect_silence()


def test_clients_that_came_and_went_around_a_kill_are_counted_right(mortal):
    server = mortal()
    for turn in range(6):
        crowd = [server.client(f"c{turn}.{n}") for n in range(20)]
        pid = server.worker_pids()[turn % 2]
        for client in crowd[::2]:
            client.close()
        os.kill(pid, signal.SIGKILL)
        for client in crowd[1::2]:
            client.reset()
    server.close_clients()
    server.wait_connections(0)
    for turn in range(6):
        wait_for(lambda turn=turn: server.subscribers(f"c{turn}.1") == 0, "no subscription left")
    wait_for(lambda: server.publish("all", {"op": 110}) == 0, "the node to be no recipient")
    wait_for(lambda: len(server.worker_pids()) == 2, "two workers")


# The master.

def test_without_their_master_the_workers_end_and_free_the_port(make_server):
    server = make_server()
    server.expect_log("master_died")
    clients = [server.client(f"u{n}") for n in range(10)]
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait_exit() == -signal.SIGKILL
    for client in clients:
        client.drain()
    assert not can_connect(server.address)
    server.start()
    assert server.client("u").hello
    server.stop()
