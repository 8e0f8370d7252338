"""Heartbeats: idle clients are pinged, and dead ones closed with 4009."""

import time

import pytest

from harness import frames as ws
from harness.client import PING, PONG, encode_binary, encode_json
from harness.wait import wait_for

LATE = 8
"""Seconds after which a ping or close that is due after one or two is missing."""

ALIVE = 4
"""Seconds after which an open connection counts as kept alive: heartbeat, timeout and a margin."""


@pytest.fixture
def server(make_server):
    return make_server(heartbeat=1, heartbeat_timeout=1)


def trio(server):
    """A client of each mode, none of which answers pings."""
    clients = [server.client("b"), server.client("j", "json"), server.echo_client()]
    for client in clients:
        client.auto_pong = False
    return clients


def test_silent_client_is_pinged_and_then_closed_with_4009(server):
    clients = trio(server)
    start = time.monotonic()
    for client in clients:
        assert client.recv_frame(timeout=LATE).opcode == ws.PING
    assert time.monotonic() - start > 0.5, "pinged although they were not silent for long"
    for client in clients:
        client.expect_close(4009, timeout=LATE)
    server.wait_connections(0)


def drip(client):
    """The bytes, one by one, of a PING of the opcode protocol: a frame that is not whole for long."""
    text = b"x" * 30
    payload = {"binary": encode_binary(PING, text), "json": encode_json(PING, text="x" * 30),
               "echo": text}[client.mode]
    data = ws.frame(ws.TEXT if client.mode == "json" else ws.BINARY, payload)
    return [data[at:at + 1] for at in range(len(data))]


def test_signs_of_life_keep_a_connection(server):
    """A pong keeps it, and so does any byte, even of a frame that stays incomplete for long. A busy
    client is not even pinged."""
    answering, dripping, busy = trio(server), trio(server), server.client("busy")
    for client in answering:
        client.auto_pong = True
    busy.auto_pong = False
    drips = {client: drip(client) for client in dripping}
    end = time.monotonic() + ALIVE
    while time.monotonic() < end:
        busy.send_message(PING, b"busy")
        for client in dripping:
            client.send_bytes(drips[client].pop(0))
        for client in (*answering, *dripping, busy):
            client.pull()
            assert client.ended is None, "closed although it was alive"
            assert not any(got.opcode == ws.CLOSE for got in client.frames)
        time.sleep(0.2)
    for client in answering:
        assert any(got.opcode == ws.PING for got in client.frames)
    assert not any(got.opcode == ws.PING for got in busy.frames)
    for client in dripping:
        client.auto_pong = True
        client.send_bytes(b"".join(drips[client]))
        got = client.recv_data()
        assert client.mode == "echo" or client.decode(*got).op == PONG


def test_user_of_a_dead_connection_goes_offline(server):
    """Pushes to the client do not count as signs of life."""
    client = server.client("u")
    client.auto_pong = False
    assert server.push("u", 110, data=1) == 1

    def gone():
        client.pull()
        return server.push("u", 110, data=1) == 0

    wait_for(gone, "the user to be offline", timeout=LATE, interval=0.1)


def test_many_silent_clients_are_all_closed(server):
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, [f"u{n}" for n in range(300)])
        for client in clients:
            client.auto_pong = False
        swarm.pump(lambda: all(any(f.opcode == ws.CLOSE for f in c.frames) for c in clients),
                   "4009 for each", timeout=LATE)
        for client in clients:
            client.expect_close(4009, skip_data=True)
    server.wait_connections(0)
