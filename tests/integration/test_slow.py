"""Clients that do not read: their queues are bounded, and they delay no other client."""

import signal
import time

import pytest

from harness import admin
from harness.client import (ACCEPTED, BYE, ERROR, GAP, PING, PONG, SUB, SUBBED,
                            Closed, decode_binary, encode_binary)
from harness.frames import BINARY, CLOSE, frame
from harness.process import memory
from harness.server import opcode
from harness.wait import SANITIZED, sanitizer_options, wait_for

SMALL = {"send_buffer": 16384, "queue_limit": 65536}
"""Little room, so that a client is slow soon."""

PUSH = b"\0\0\0\x6e%08d" + b"." * 1000


def slow_client(server, user, mode="binary"):
    """A client that is ready and from then on never reads."""
    return server.client(user, mode, receive_buffer=4096)


def flood(server, user, count, start=0):
    """Numbered pushes of a kilobyte each."""
    return server.redis.publish_many((server.channel("user:" + user), PUSH % number)
                                     for number in range(start, start + count))


def number_of(message):
    return int(message.payload[:8])


def wait_counted(server, before, count):
    """Until the server has taken `count` pushes since."""
    wait_for(lambda: server.admin.counter(admin.RECEIVED) >= before + count, "every push taken")


# slow_policy = close

def test_slow_client_is_closed_and_its_pushes_are_counted(make_server):
    """Closed although it never reads: the server does not wait for room to say so."""
    server = make_server(**SMALL)
    slow = slow_client(server, "slow")
    assert flood(server, "slow", 3000)[0] == 1
    wait_for(lambda: server.admin.connections() == 0, "the slow client to be closed")
    wait_for(lambda: server.push("slow", 110, data=1) == 0, "the user to be offline")
    metrics = server.admin.metrics()
    assert metrics.total(admin.CLOSED, reason="slow") == 1
    assert metrics.total(admin.DROPPED, reason="slow") > 0
    assert slow.ended is None, "it has not read a byte"


def test_slow_client_gets_whole_frames_in_order_and_then_4008_or_a_reset(make_server):
    server = make_server(**SMALL)
    slow = slow_client(server, "slow")
    flood(server, "slow", 3000)
    wait_for(lambda: server.admin.connections() == 0, "the slow client to be closed")
    got, code = slow.drain()
    assert code in (4008, None)
    assert [number_of(m) for m in got] == list(range(len(got)))
    assert len(got) < 3000


def test_slow_client_delays_no_other(make_server):
    """Some of the others have the same home; each gets its push although the flood goes on."""
    server = make_server(**SMALL)
    others = [server.client(f"good-{n}") for n in range(16)]
    slow = [slow_client(server, f"slow-{n}") for n in range(4)]
    for turn in range(20):
        for number in range(len(slow)):
            flood(server, f"slow-{number}", 50)
        for number, other in enumerate(others):
            assert server.push(f"good-{number}", 110, data=turn) == 1
        for other in others:
            assert other.recv_message(timeout=5).json() == turn


def test_one_slow_device_does_not_take_the_push_from_the_other(make_server):
    server = make_server(**SMALL)
    slow, good = slow_client(server, "u"), server.client("u")
    for start in range(0, 3000, 20):
        assert flood(server, "u", 20, start) == [1] * 20
        assert [number_of(good.recv_message()) for _ in range(20)] == list(range(start, start + 20))
    wait_for(lambda: len(server.admin.user("u")) == 1, "the slow device to be closed")
    assert slow.fileno() >= 0


def test_client_that_reads_late_but_within_the_limit_loses_nothing(make_server):
    server = make_server(send_buffer=16384, queue_limit=4 << 20)
    client = slow_client(server, "late")
    flood(server, "late", 3000)
    wait_counted(server, 0, 3000)
    assert server.admin.counter(admin.QUEUED) > 0
    assert [number_of(client.recv_message()) for _ in range(3000)] == list(range(3000))
    client.expect_silence()
    assert server.admin.counter(admin.DROPPED) == 0
    wait_for(lambda: server.admin.counter(admin.DELIVERED) == 3000, "every delivery counted")


def queue(server, user):
    entry = server.admin.user(user)[0]
    return entry["queue"], entry["backlog"]


def test_queue_of_a_client_is_shown(make_server):
    """What it has not acknowledged: the bytes of the kernel and those of the worker, to the byte."""
    server = make_server(send_buffer=16384, queue_limit=4 << 20)
    client = slow_client(server, "late")
    assert queue(server, "late") == (0, 0)
    flood(server, "late", 1000)
    wait_counted(server, 0, 1000)
    bytes_ = 1000 * len(frame(BINARY, PUSH % 0, masked=False))
    waiting = wait_for(lambda: (w := queue(server, "late"))[1] > 0 and w, "its queue to be shown")
    assert bytes_ - 100_000 < waiting[1] < waiting[0] <= bytes_
    for number in range(500):
        assert number_of(client.recv_message()) == number
    wait_for(lambda: queue(server, "late")[1] < waiting[1] - 300_000, "its queue to shrink")
    for _ in range(500):
        client.recv_message()
    wait_for(lambda: queue(server, "late") == (0, 0), "its queue to be empty")


def test_queue_of_a_client_outlives_a_reload_and_dies_with_its_worker(make_server):
    server = make_server(send_buffer=16384, queue_limit=4 << 20)
    server.workers_may_change = True
    slow_client(server, "late")
    flood(server, "late", 1000)
    wait_counted(server, 0, 1000)
    before = wait_for(lambda: queue(server, "late")[1], "its queue to be shown")
    server.signal(signal.SIGHUP)
    wait_for(lambda: server.log().count("event=took_over") == 2, "the successors")
    assert queue(server, "late")[1] == before
    server.kill_workers()
    wait_for(lambda: server.log().count("event=took_over") == 4, "all that is lost to be closed")
    wait_for(server.admin.ready, "/readyz 200")
    assert server.admin.counter(admin.CLOSED, reason="dirty") == 1
    server.client("late")
    assert queue(server, "late") == (0, 0), "on the same descriptor, and nothing waits"


def test_answers_to_a_client_that_does_not_read_are_bounded_too(make_server):
    """A client that asks and asks without reading is slow as well."""
    server = make_server(**SMALL)
    client = server.raw(receive_buffer=4096)
    client.send_upgrade(mode="echo")
    client.expect_upgrade()
    data = frame(BINARY, b"x" * 4000)
    try:
        for _ in range(5000):
            client.send_bytes(data, timeout=2)
        raise AssertionError("20 MB were taken and answered, and nobody read the answers")
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed as too slow
    except TimeoutError:
        pass  # or not read from any more
    server.echo_client().echo()


# slow_policy = drop_oldest

def test_drop_oldest_keeps_the_newest_in_order_and_whole(make_server):
    server = make_server(slow_policy="drop_oldest", **SMALL)
    client = slow_client(server, "slow")
    assert flood(server, "slow", 3000) == [1] * 3000
    wait_counted(server, 0, 3000)
    got = [number_of(client.recv_message())]
    while got[-1] != 2999:
        got.append(number_of(client.recv_message()))
    assert got == sorted(set(got)), "in order, none twice"
    assert got[0] == 0, "pushes that the kernel had taken stay"
    assert got[-40:] == list(range(2960, 3000)), "the newest are all there"
    lost = 3000 - len(got)
    assert lost > 0
    wait_for(lambda: server.admin.counter(admin.DROPPED, reason="slow") == lost,
             f"{lost} drops to be counted")
    wait_for(lambda: server.admin.counter(admin.DELIVERED) == len(got), "the rest as delivered")


def test_after_drop_oldest_the_connection_is_as_good_as_any(make_server):
    server = make_server(slow_policy="drop_oldest", **SMALL)
    client = slow_client(server, "slow")
    flood(server, "slow", 2000)
    wait_counted(server, 0, 2000)
    client.send_message(PING, b"after")
    while True:
        message = client.recv_message()
        if message.op == PONG:
            break
    assert message.payload == b"after"
    assert server.push("slow", 110, text="next") == 1
    while message.payload != b"next":
        message = client.recv_message()
    client.expect_silence()


def test_drop_oldest_of_large_pushes_never_tears_a_frame(make_server):
    """Pushes larger than the socket's buffer: one is partly sent when others are dropped."""
    server = make_server(slow_policy="drop_oldest", send_buffer=16384, queue_limit=262144)
    client = slow_client(server, "slow")
    server.redis.publish_many(
        (server.channel("user:slow"), b"\0\0\0\x6e%08d" % n + bytes([n % 251]) * 100_000)
        for n in range(60))
    wait_counted(server, 0, 60)
    last = -1
    while last != 59:
        message = client.recv_message()
        assert number_of(message) > last
        last = number_of(message)
        assert message.payload[8:] == bytes([last % 251]) * 100_000
    client.expect_silence()


# Frames that are no pushes.

def test_drop_oldest_drops_pushes_alone(make_server):
    """Messages that are sent only once stay queued, however many pushes are dropped: answers to
    requests, and the GAP that reports missed pushes."""
    server = make_server(slow_policy="drop_oldest", workers=1, topics=["*"],
                         opcodes=[opcode(111, name="note", to="list:notes")], **SMALL)
    client = slow_client(server, "slow")
    flood(server, "slow", 1000)
    wait_counted(server, 0, 1000)
    client.send_message(111, b"1")
    client.send_message(112, b"nobody knows this one")
    client.send_message(SUB, b'{"topics":["t"]}')
    client.send_message(PING, b"so all three were answered")
    wait_for(lambda: server.redis.client.llen("notes") == 1, "the request to be stored")
    server.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_for(lambda: server.admin.counter("gaps_total") > 0, "the gap")
    wait_for(lambda: flood(server, "slow", 1, 1000) == [1], "the subscription")
    flood(server, "slow", 1000, 1001)
    wait_counted(server, 0, 2001)
    got, others = [], []
    while len(others) < 5 or not got or got[-1] != 2000:
        message = client.recv_message()
        got += [number_of(message)] if message.op == 110 else []
        others += [message.op] if message.op != 110 else []
    assert sorted(others) == sorted([ACCEPTED, ERROR, SUBBED, PONG, GAP])
    assert got == sorted(set(got))
    lost = 2001 - len(got)
    assert lost > 0
    wait_for(lambda: server.admin.counter(admin.DROPPED, reason="slow") == lost,
             f"{lost} drops to be counted")


def test_drop_oldest_closes_a_client_whose_answers_alone_are_too_much(make_server):
    server = make_server(slow_policy="drop_oldest", opcodes=[opcode(100, name="echo", to="echo")],
                         **SMALL)
    client = slow_client(server, "slow")
    flood(server, "slow", 100)
    request = frame(BINARY, encode_binary(100, b"x" * 4000))
    try:
        for _ in range(5000):
            client.send_bytes(request, timeout=5)
    except (BrokenPipeError, ConnectionResetError):
        pass
    wait_for(lambda: server.admin.counter(admin.CLOSED, reason="slow") == 1, "4008")
    wait_for(lambda: server.push("slow", 110, data=1) == 0, "the user to be offline")


# A close frame comes before the pushes that wait.

def expect_told(client, code, total):
    """Whole pushes in order, then the close frame with the code; returns how many were lost."""
    got, seen = client.drain()
    pushes = [number_of(m) for m in got if m.op == 110]
    assert seen == code
    assert pushes == list(range(len(pushes)))
    assert len(pushes) < total
    return total - len(pushes)


def kick(server, user):
    server.publish("ctl", {"kick": user})


def replace(server, user):
    server.client(user)


@pytest.mark.parametrize("size", [1000, 200_000])
@pytest.mark.parametrize("code, close", [(4001, kick), (4002, replace)])
def test_a_slow_client_is_told_why_it_is_closed(make_server, code, close, size):
    """It has a backlog, of which one push may be partly sent. Whoever is not told 4001 comes back."""
    server = make_server(send_buffer=16384, queue_limit=64 << 20, max_push=1 << 20, max_devices=1,
                         device_policy="replace")
    client = slow_client(server, "slow")
    total = 4_000_000 // size
    server.redis.publish_many((server.channel("user:slow"), b"\0\0\0\x6e%08d" % n + b"." * size)
                              for n in range(total))
    wait_counted(server, 0, total)
    close(server, "slow")
    wait_for(lambda: server.admin.counter(admin.DROPPED, reason="closed") > 0, "the backlog to be dropped")
    lost = expect_told(client, code, total)
    wait_for(lambda: server.admin.counter(admin.DROPPED, reason="closed") == lost,
             f"{lost} drops to be counted")
    wait_for(lambda: server.admin.counter(admin.DELIVERED) == total - lost, "the rest as delivered")


def test_a_slow_client_is_told_that_its_token_has_expired(make_server, keys):
    server = make_server(send_buffer=16384, queue_limit=64 << 20, auth=["jwt"], jwt=keys.section(),
                         heartbeat=4, heartbeat_timeout=4, handshake_timeout=4)
    token = keys.token("slow", exp=int(time.time()) + 3)
    client = server.raw(receive_buffer=4096)
    client.send_upgrade(extra=[("Authorization", "Bearer " + token)])
    client.expect_upgrade()
    client.expect_hello()
    flood(server, "slow", 4000)
    wait_for(lambda: server.admin.counter(admin.CLOSED, reason="expired") == 1, "its token to expire")
    expect_told(client, 4003, 4000)


def test_a_slow_client_is_told_that_service_ends(make_server):
    """BYE, which is not a push, comes before the close frame."""
    server = make_server(send_buffer=16384, queue_limit=64 << 20, drain_timeout=20)
    client = slow_client(server, "slow")
    flood(server, "slow", 4000)
    wait_counted(server, 0, 4000)
    server.signal(signal.SIGTERM)
    got, code = client.drain()
    pushes = [number_of(m) for m in got if m.op == 110]
    assert (got[-1].op, code) == (BYE, 1001)
    assert pushes == list(range(len(pushes))) and len(pushes) < 4000
    assert server.wait_exit() == 0


def test_a_client_that_reads_again_after_five_seconds_is_told_too(make_server):
    """The kernel had no room for the close frame until then."""
    server = make_server(send_buffer=16384, queue_limit=64 << 20)
    client = slow_client(server, "slow")
    flood(server, "slow", 4000)
    wait_counted(server, 0, 4000)
    kick(server, "slow")
    begin = time.monotonic()
    wait_for(lambda: time.monotonic() - begin > 5, "five seconds of patience")
    assert server.admin.connections() == 1
    expect_told(client, 4001, 4000)


# Memory.

@pytest.mark.parametrize("policy", ["close", "drop_oldest"])
def test_memory_of_slow_clients_is_bounded(make_server, monkeypatch, policy):
    """20 clients, 4 MB of pushes for each, at most 64 KB of them in the server."""
    sanitizer_options(monkeypatch, "quarantine_size_mb=1") # else it keeps what is freed
    server = make_server(slow_policy=policy, **SMALL)
    clients = [slow_client(server, f"slow-{n}") for n in range(20)]
    flood(server, "slow-0", 100)
    wait_counted(server, 0, 100)
    before = memory([server.pid, *server.worker_pids()])
    for number in range(20):
        flood(server, f"slow-{number}", 4000)
    fence = server.client("fence")
    server.push("fence", 110, data=1)
    fence.recv_message()
    grown = memory([server.pid, *server.worker_pids()]) - before
    assert grown < (36 if SANITIZED else 12) << 20, f"{grown >> 10} KiB for 20 slow clients"
    assert len(clients) == 20


def test_slow_clients_close_frame_or_reset_ends_the_stream(make_server):
    """Never a torn frame followed by another: either whole frames and 4008, or a cut stream."""
    server = make_server(send_buffer=16384, queue_limit=65536)
    for number in range(5):
        client = slow_client(server, f"slow-{number}")
        server.redis.publish_many((server.channel(f"user:slow-{number}"),
                                   b"\0\0\0\x6e" + b"y" * (3000 * (number + 1)))
                                  for _ in range(400))
        wait_for(lambda: server.admin.connections() == 0, "the slow client to be closed")
        try:
            while True:
                got = client.recv_frame()
                if got.opcode == CLOSE:
                    assert got.payload[:2] == (4008).to_bytes(2, "big")
                else:
                    assert decode_binary(got.payload).payload == b"y" * (3000 * (number + 1))
        except Closed as closed:
            assert closed.how in ("eof", "reset")
