"""The end of service: each client gets its own time to reconnect, so that they do not all return at
once, and a close code that tells whether the end is permanent."""

import binascii
import itertools
import os
import signal
import struct

import pytest

from harness import frames as ws
from harness.client import BYE
from harness.net import free_port
from harness.process import alive
from harness.wait import SLACK, wait_for

WINDOW = 10
"""drain_timeout of these tests, in seconds."""

AGAIN = 3
"""wspushd's exit status where it is to be started again."""


def home(server, user):
    """The worker that has the user's connections: by Redis Cluster's slot of the channel."""
    slot = binascii.crc_hqx(server.channel("user:" + user).encode(), 0) % 16384
    return slot * server.config["workers"] // 16384


def users_at_home(server, counts):
    """As many user names as asked for of each worker."""
    wanted, out = list(counts), []
    for name in (f"u{n}" for n in itertools.count()):
        if wanted[home(server, name)] > 0:
            wanted[home(server, name)] -= 1
            out.append(name)
        if not any(wanted):
            return out


def code_of(client):
    return int.from_bytes(client.frames[0].payload[:2], "big")


def goodbyes(server, users, number=signal.SIGTERM):
    """Connects them, ends the server, and returns (the delays that they are told, close codes)."""
    with server.swarm() as swarm:
        clients = []
        for mode, some in (("binary", users[::2]), ("json", users[1::2])):
            clients += swarm.connect(server.address, some, mode=mode)
        server.signal(number)
        swarm.pump(lambda: all(client.ended for client in clients), "the end of all",
                   timeout=60 * SLACK)
        delays = []
        for client in clients:
            byes = [message.json() for message in client.messages() if message.op == BYE]
            assert len(byes) == 1 and code_of(client) in (1001, 1012)
            delays.append(byes[0]["reconnect_ms"])
        return delays, {code_of(client) for client in clients}


def most_in_a_second(delays):
    assert all(0 <= delay < WINDOW * 1000 for delay in delays)
    return max(sum(delay // 1000 == second for delay in delays) for second in range(WINDOW))


@pytest.mark.parametrize("counts", [(1000, 1000), (2000, 0), (1900, 100), (700, 700, 700),
                                    (1500, 37, 463)], ids=str)
def test_no_second_has_more_than_its_share_of_2000_reconnects(make_server, counts):
    server = make_server(workers=len(counts), drain_timeout=WINDOW)
    delays, codes = goodbyes(server, users_at_home(server, counts))
    assert (server.wait_exit(60 * SLACK), codes) == (0, {1001})
    assert len(delays) == sum(counts)
    assert most_in_a_second(delays) <= 1.2 * len(delays) / WINDOW
    assert len(set(delays)) == len(delays), "each has its own delay"


@pytest.mark.parametrize("counts", [(1, 0), (1, 1), (0, 1, 1), (1, 1, 1), (3, 2, 1), (0, 14, 0),
                                    (20, 1, 4)], ids=str)
def test_few_clients_do_not_come_together_either(make_server, counts):
    """Half a client cannot come: the mean, rounded up."""
    server = make_server(workers=len(counts), drain_timeout=WINDOW)
    delays, _ = goodbyes(server, users_at_home(server, counts))
    assert server.wait_exit() == 0
    assert most_in_a_second(delays) <= -(-len(delays) // WINDOW)


def test_echo_connections_take_nobodys_turn(make_server):
    """They are told nothing, and most of them may be at one worker."""
    server = make_server(workers=2, drain_timeout=WINDOW)
    echoes = [server.echo_client() for _ in range(40)]
    delays, _ = goodbyes(server, users_at_home(server, (20, 20)))
    for client in echoes:
        client.expect_close(1001)
    assert server.wait_exit() == 0
    assert most_in_a_second(delays) == 4


def test_quit_closes_with_1012_and_asks_to_be_started_again(make_server):
    server = make_server(drain_timeout=2)
    client, echo = server.client("u"), server.echo_client()
    server.signal(signal.SIGQUIT)
    bye = client.recv_message()
    assert (bye.op, bye.json()["reason"]) == (BYE, "restart")
    client.expect_close(1012)
    echo.expect_close(1012)
    assert server.wait_exit() == AGAIN
    server.start()
    server.client("u").expect_silence()


def test_what_the_end_is_for_does_not_change_while_it_lasts(make_server):
    server = make_server(drain_timeout=2)
    client = server.client("u")
    server.signal(signal.SIGQUIT)
    assert client.recv_message().op == BYE
    server.signal(signal.SIGTERM)
    client.expect_close(1012)
    assert server.wait_exit() == AGAIN


def test_a_node_that_drains_is_not_ready_and_lets_nobody_in(make_server):
    server = make_server(drain_timeout=30)
    client, before = server.client("u"), server.raw()
    before.send_bytes(b"GET ")
    wait_for(lambda: server.admin.connections() == 2, "both connections")
    server.signal(signal.SIGTERM)
    assert client.recv_message().json()["reason"] == "drain"
    response = server.admin.get("/readyz")
    assert (response.status, response.json()["why"]) == (503, "draining")
    before.expect_end()
    late = server.raw()
    late.send_upgrade("late")
    client.expect_close(1001)
    assert server.wait_exit() == 0
    late.pull()
    assert late.response is None or late.response.status == 503


def test_clients_of_a_worker_that_dies_within_the_drain_are_told_by_its_successor(make_server):
    server = make_server(workers=2, drain_timeout=3)
    server.workers_may_change = True
    clients = [server.client(user) for user in users_at_home(server, (5, 5))]
    victim = server.admin.workers()[1]["pid"]
    os.kill(victim, signal.SIGSTOP)
    server.signal(signal.SIGTERM)
    for client in clients[:]:
        if home(server, client.hello["user"]) == 0:
            assert client.recv_message().op == BYE
    os.kill(victim, signal.SIGKILL)
    delays = []
    for client in clients:
        messages = [] if home(server, client.hello["user"]) == 0 else [client.recv_message()]
        delays += [message.json()["reconnect_ms"] for message in messages if message.op == BYE]
        client.expect_close(1001)
    assert len(delays) == 5
    assert server.wait_exit() == 0


def test_clients_of_a_dead_master_are_told_to_come_back(make_server):
    server = make_server(drain_timeout=1)
    server.expect_log("master_died")
    clients = [server.client(f"u{n}") for n in range(4)]
    workers = server.worker_pids()
    os.kill(server.pid, signal.SIGKILL)
    for client in clients:
        bye = client.recv_message()
        assert (bye.op, bye.json()["reason"]) == (BYE, "restart")
        client.expect_close(1012)
    assert server.wait_exit() == -signal.SIGKILL
    wait_for(lambda: not any(map(alive, workers)), "the workers to be gone")


def test_addresses_of_a_dead_master_are_free_while_its_clients_are_told(make_server, tmp_path):
    """Its clients do not close, so that its workers are still there when the next server begins."""
    server = make_server(drain_timeout=10, admin=f"unix:{tmp_path}/admin.sock",
                         listen=[f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/ws.sock"])
    server.expect_log("master_died")
    clients = [server.client(f"u{n}", address=server.addresses[n % 2]) for n in range(6)]
    orphans = server.worker_pids()
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    for client in clients:
        assert client.recv_message().op == BYE
        assert client.recv_frame().payload[:2] == struct.pack(">H", 1012)
    server.start()
    assert any(map(alive, orphans)), "the next server waited until the workers had ended"
    for address in server.addresses:
        assert server.client("next", address=address).hello


def test_without_a_window_everybody_may_come_at_once(make_server):
    server = make_server(drain_timeout=0)
    client = server.client("u")
    server.signal(signal.SIGTERM)
    got = client.recv_frame()
    assert got.opcode == ws.BINARY and b'"reconnect_ms":0}' in got.payload
    client.expect_close(1001)
    assert server.wait_exit() == 0


@pytest.mark.parametrize("change", [signal.SIGHUP, signal.SIGUSR2], ids=["reload", "upgrade"])
def test_a_stop_while_workers_leave_tells_every_client(make_server, change):
    server = make_server(workers=2, drain_timeout=3)
    server.workers_may_change = True
    clients = [server.client(user) for user in users_at_home(server, (5, 5))]
    slow = server.admin.workers()[1]["pid"]
    os.kill(slow, signal.SIGSTOP)
    before = set(server.worker_pids())
    server.signal(change)
    wait_for(lambda: set(server.worker_pids()) != before, "the other worker to leave")
    server.signal(signal.SIGTERM)
    wait_for(lambda: "event=draining" in server.log(), "the stop to begin")
    os.kill(slow, signal.SIGCONT)
    for client in clients:
        assert client.recv_message().op == BYE
        client.expect_close(1001)
    assert server.wait_exit() == 0
