"""More broadcasts at once than a turn of a worker's loop can send: they are sent in slices, other clients
are served in between, no push is lost, and the watchdog does not kill the worker."""

import select
import time

import pytest

from harness import admin
from harness.client import PING, PONG
from harness.wait import SANITIZED, SLACK
from test_poison import doomed, reason  # noqa: F401

CLIENTS = 500 if SANITIZED else 2000
BURST = 1000 if SANITIZED else 2500
SIZE = 10
"""Bytes of the frame of one of these broadcasts."""


def raw_push(number):
    return b"\0\0\0\x6e%04d" % number


def broadcast(server, channel="all", count=BURST):
    server.redis.publish_many((server.channel(channel), raw_push(number)) for number in range(count))


WHOLE = b"".join(b"\x82\x08" + raw_push(number) for number in range(BURST))
assert len(WHOLE) == SIZE * BURST


class Crowd:
    """Connected clients whose bytes are read as they are: their frames are known."""

    def __init__(self, server, count):
        self.swarm = server.swarm()
        self.swarm.connect(server.address, [f"crowd{n}" for n in range(count)])
        self.got = {client.fileno(): bytearray() for client in self.swarm.clients}
        self.sockets = {client.fileno(): client.sock for client in self.swarm.clients}
        self._poll = select.epoll()
        for fd in self.got:
            self._poll.register(fd, select.EPOLLIN)

    def take(self):
        """Reads what has come so far."""
        for fd, _ in self._poll.poll(0):
            self.got[fd] += self.sockets[fd].recv(1 << 16)

    def read(self, until=WHOLE, timeout=60 * SLACK):
        """Reads until every client has the last broadcast. Returns what each has received."""
        waiting = {fd for fd, got in self.got.items() if not got.endswith(until[-SIZE:])}
        deadline = time.monotonic() + timeout
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} clients have not received everything"
            for fd, _ in self._poll.poll(1):
                bytes_in = self.sockets[fd].recv(1 << 16)
                assert bytes_in, "a client was closed"
                self.got[fd] += bytes_in
                if self.got[fd].endswith(until[-SIZE:]):
                    waiting.discard(fd)
        return list(self.got.values())

    def close(self):
        for client in self.swarm.clients:
            client.close()


def test_others_are_served_while_a_burst_is_sent(make_server):
    server = make_server(workers=1, watchdog=1, heartbeat=600)
    workers = server.worker_pids()
    crowd, other = Crowd(server, CLIENTS), server.client("other")
    broadcast(server)
    other.send_message(PING, b"still there?")
    before = 0
    while other.recv_message(timeout=60 * SLACK).op != PONG:
        before += 1
    assert before < BURST, "answered only after the last broadcast"
    assert all(got == WHOLE for got in crowd.read())
    assert server.worker_pids() == workers and "worker_hangs" not in server.log()
    crowd.close()


def check_whole(got):
    """Every broadcast, in order; twice only those that were in hand when a worker died, right away."""
    if got == WHOLE:
        return
    pieces = [bytes(got[at:at + SIZE]) for at in range(0, len(got), SIZE)]
    assert b"".join(dict.fromkeys(pieces)) == WHOLE


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_killed_within_a_burst_lose_none_of_it(make_server, workers):
    server = make_server(workers=workers, watchdog=5, heartbeat=600)
    server.workers_may_change = True
    crowd = Crowd(server, CLIENTS)
    deaths = 0
    broadcast(server)
    while deaths < 3 and server.admin.stats()["counters"]["pushes_delivered_total"] < CLIENTS * BURST:
        crowd.take()
        server.kill_worker(server.admin.workers()[deaths % workers])
        deaths += 1
    assert deaths > 0, "it was over before the first death"
    for got in crowd.read():
        check_whole(got)
    crowd.close()


def test_push_that_kills_workers_within_a_burst_delays_only_what_was_in_hand(doomed):  # noqa: F811
    """The successor sends the pushes that were in hand one by one, and the rest as usual."""
    server = doomed(workers=1, watchdog=5, heartbeat=600)
    crowd = Crowd(server, CLIENTS // 10)
    channel, pushes = server.channel("all"), [raw_push(number) for number in range(BURST)]
    pushes.insert(BURST // 2, b"\0\0\0\x6efault:segv")
    server.redis.publish_many((channel, push) for push in pushes)
    for got in crowd.read():
        check_whole(got)
    assert reason(server, admin.DROPPED) == 1
    crowd.close()
