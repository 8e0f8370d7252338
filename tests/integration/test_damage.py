"""Overwritten shared memory: the damage does not spread, it is logged, and the node serves all other
clients."""

import random
import struct

import pytest

from harness.net import can_connect
from harness.scribble import regions, write_over
from harness.wait import wait_for
from test_topics import join

CONN = 128 # bytes of a record: shm/conn.h
FREE, OPEN = 0, 4 # states
INDEXED, WATCHED = 1 << 6, 1 << 9


def word(generation, owner, state, flags):
    return struct.pack("<Q", generation << 32 | owner << 24 | state << 16 | flags)


def generation_of(client):
    """From the connection's name, "<boot>-<fd>-<generation>"."""
    return int(client.hello["conn"].split("-")[2], 16)


def fd_of(client):
    return int(client.hello["conn"].split("-")[1], 16)


@pytest.fixture
def damaged(make_server):
    def make(**config):
        server = make_server(heartbeat=4, heartbeat_timeout=4, topics=["*"], **config)
        server.expect_log("ring_damaged|record_damaged|worker_died|last_words|poison|worker_waits")
        server.workers_may_change = True
        return server
    return make


def texts_of(client):
    """The payloads of the messages that have come."""
    client.pull()
    return [message.payload for message in client.messages()]


def expect_served(server, clients):
    """Each client still gets its pushes."""
    wait_for(server.admin.ready, "/readyz 200")
    for name, client in clients.items():
        assert server.push(name, 110, text="after") == 1
        wait_for(lambda: b"after" in texts_of(client), "the push")


def test_records_of_the_masters_descriptors_are_not_believed(damaged):
    """A record claims that a listening socket is an open connection; the socket is not closed."""
    server = damaged(workers=2)
    clients = {name: server.client(name) for name in ("a", "b", "c", "d")}
    own = regions(server)["own_fds"]
    for owner in (0, 1):
        record = word(0, owner, OPEN, INDEXED | WATCHED) + bytes(56) + b"\x01x" + bytes(62)
        assert len(record) == CONN
        write_over(server, "CONNS", *((fd * CONN, record) for fd in range(3, own)))
        server.publish("all", {"op": 110, "text": "before"})
        for client in clients.values():
            assert client.recv_message().payload == b"before"
        server.kill_worker(server.admin.workers()[owner])
        server.publish("all", {"op": 110, "text": "before"})
        for client in clients.values():
            assert client.recv_message().payload == b"before"
    assert can_connect(server.address)
    assert server.process.poll() is None
    expect_served(server, clients)


@pytest.mark.parametrize("change", [
    lambda generation, owner: word(generation, owner, 200, WATCHED),          # no such state
    lambda generation, owner: word(generation, owner, OPEN, 0xffff),          # no such flags
    lambda generation, owner: word(generation + 9, owner, OPEN, INDEXED | WATCHED), # not this connection
], ids=["state", "flags", "generation"])
def test_damaged_record_costs_its_own_connection(damaged, change):
    server = damaged(workers=2)
    clients = {name: server.client(name) for name in ("a", "b", "c", "d")}
    victim = server.client("victim")
    owner = server.home_of("user:victim")
    write_over(server, "CONNS", (fd_of(victim) * CONN, change(generation_of(victim), owner)))
    victim.send_bytes(b"\x8a\x80\0\0\0\0") # a pong
    victim.expect_end()
    wait_for(lambda: "event=record_damaged" in server.log(), "the damage to be logged")
    assert server.admin.counter("records_damaged_total") == 1
    expect_served(server, clients)
    server.wait_connections(4)


def test_damaged_rings_are_used_again(damaged):
    server = damaged(workers=3)
    rng = random.Random(24)
    clients = {f"u{n}": server.client(f"u{n}") for n in range(30)}
    for client in clients.values():
        join(client, "room")
    size = regions(server)["RINGS"]
    for _ in range(5):
        pieces = [(rng.randrange(size["elements"] * size["bytes"]), rng.randbytes(1)) for _ in range(300)]
        write_over(server, "RINGS", *pieces)
        server.publish("topic:room", {"op": 110, "text": "perhaps"})
        server.publish("all", {"op": 110, "text": "perhaps"})

    def comes_everywhere():
        """Rings that cannot be repaired are emptied after three seconds."""
        server.publish("topic:room", {"op": 110, "text": "here"})
        return all(b"here" in texts_of(client) for client in clients.values())

    wait_for(comes_everywhere, "a push to reach every member")
    expect_served(server, clients)
