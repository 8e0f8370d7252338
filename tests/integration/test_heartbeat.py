"""Pings to the idle, 4009 to the dead."""

import time

import pytest

from harness import frames as ws
from harness.client import PING, PONG, encode_binary, encode_json
from harness.wait import wait_for

LATE = 8
"""Seconds after which a ping or close that is due after one or two is missing."""

ALIVE = 4
"""Seconds after which who was not closed is held to be alive: heartbeat, timeout and some more."""


@pytest.fixture
def server(make_server):
    return make_server(heartbeat=1, heartbeat_timeout=1)


@pytest.fixture
def trio(server):
    """A client of each mode, none of which answers pings."""
    clients = [server.client("b"), server.client("j", "json"), server.echo_client()]
    for client in clients:
        client.auto_pong = False
    return clients


def survive(clients, seconds, act=lambda client: None):
    """Calls act(client) again and again for a while; each connection must live through it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for client in clients:
            act(client)
            client.pull()
            assert client.ended is None, "closed although it gave signs of life"
            assert not any(got.opcode == ws.CLOSE for got in client.frames)
        time.sleep(0.2)


def test_idle_client_is_pinged(trio):
    start = time.monotonic()
    for client in trio:
        assert client.recv_frame(timeout=LATE).opcode == ws.PING
    assert time.monotonic() - start > 0.5, "pinged although they were not silent for long"


def test_silent_client_is_closed_with_4009(server, trio):
    for client in trio:
        client.expect_close(4009, timeout=LATE)
    server.wait_connections(0)


def test_client_that_answers_pings_stays(trio):
    for client in trio:
        client.auto_pong = True
    survive(trio, ALIVE)
    for client in trio:
        assert any(got.opcode == ws.PING for got in client.frames)


def test_any_byte_is_a_sign_of_life(trio):
    """Even one byte of a frame that is not whole for long."""
    payloads = [encode_binary(PING, b"x" * 30), encode_json(PING, text="x" * 30), b"x" * 30]
    left = {}
    for client, payload in zip(trio, payloads):
        data = ws.frame(ws.TEXT if client.mode == "json" else ws.BINARY, payload)
        left[client] = [data[at:at + 1] for at in range(len(data))]
    survive(trio, ALIVE, lambda client: client.send_bytes(left[client].pop(0)))
    for client in trio:
        client.auto_pong = True
        client.send_bytes(b"".join(left[client]))
        got = client.recv_data()
        assert client.mode == "echo" or client.decode(*got).op == PONG


def test_busy_client_is_not_pinged(server):
    client = server.client("u")
    client.auto_pong = False
    survive([client], 3, lambda client: client.send_message(PING, b"busy"))
    assert not any(got.opcode == ws.PING for got in client.frames)


def test_user_of_a_dead_connection_goes_offline(server):
    client = server.client("u")
    client.auto_pong = False
    assert server.push("u", 110, data=1) == 1
    wait_for(lambda: server.push("u", 110, data=1) == 0, "the user to be offline", timeout=LATE)


def test_pushes_do_not_stand_for_a_sign_of_life(server):
    """A dead client to which much is pushed is as dead."""
    client = server.client("u")
    client.auto_pong = False

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
