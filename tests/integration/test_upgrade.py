"""SIGUSR2: another binary runs under the same pid, and no client notices."""

import os
import signal

import pytest

from harness.build import install
from harness.client import PING, PONG, encode_binary
from harness.frames import BINARY, frame
from harness.process import descriptors
from harness.publisher import Publisher, check_received, pull_all
from harness.server import write_conf
from harness.wait import WSPUSHD, wait_for
from test_slow import flood, number_of, slow_client


@pytest.fixture
def installed(make_server, tmp_path):
    """A server that runs from a private copy of the binary, which can be replaced."""
    def make(start=True, **config):
        server = make_server(start=False, **config)
        server.binary = tmp_path / "wspushd"
        install(server)
        server.workers_may_change = True
        server.expect_log(r"^\S+/push\.conf:")  # what the new binary says when it is tried
        return server.start() if start else server
    return make


def upgrade(server, source=WSPUSHD):
    before, started = server.worker_pids(), server.log().count("event=started")
    install(server, source)
    server.signal(signal.SIGUSR2)
    wait_for(lambda: server.log().count("event=started") == started + 1, "the new version")
    wait_for(lambda: len(server.worker_pids()) == server.config["workers"] and
             not set(before) & set(server.worker_pids()), "its workers")
    wait_for(server.admin.ready, "/readyz 200")


def refused(server, pids):
    wait_for(lambda: "event=upgrade_refused" in server.log(), "the refusal in the log")
    assert server.worker_pids() == pids, "nothing has changed"
    client = server.client("after-refusal")
    assert server.push("after-refusal", 110, data=1) == 1
    assert client.recv_message().json() == 1


def test_upgrade_under_load_with_200_clients_closes_and_loses_nothing(installed):
    server = installed(workers=3)
    pid, users = server.pid, [f"u{n}" for n in range(200)]
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users)
        publisher = Publisher(server, users)
        publisher.start()
        for _ in range(5):
            upgrade(server)
            swarm.pump_for(0.2)
        rounds = publisher.finish()
        pull_all(swarm, clients, rounds)
        assert publisher.unheard == 0, "a user seemed offline"
        assert check_received(clients, rounds) == 0, "a planned change sends nothing twice"
    assert server.pid == pid and server.process.poll() is None
    assert sum(worker["restarts"] for worker in server.admin.workers()) == 0


def test_what_has_half_come_and_half_gone_goes_along(installed):
    server = installed(send_buffer=16384, queue_limit=4 << 20)
    data = frame(BINARY, encode_binary(PING, b"a payload to be cut"))
    half, slow = server.client("half"), slow_client(server, "slow")
    half.send_bytes(data[:11])
    flood(server, "slow", 2000)
    wait_for(lambda: server.admin.user("slow")[0]["queue"] > 0, "the client to be slow")
    upgrade(server)
    half.send_bytes(data[11:])
    assert half.recv_message()[:2] == (PONG, b"a payload to be cut")
    assert [number_of(slow.recv_message()) for _ in range(2000)] == list(range(2000))


def test_new_version_serves_as_any_other(installed):
    """New clients, a killed worker, a reload, a clean stop: by make_server's fixture, at the end."""
    server = installed()
    server.expect_log("died")
    old = server.client("old")
    upgrade(server)
    before = descriptors(server.pid)
    for _ in range(3):
        upgrade(server)
    wait_for(lambda: descriptors(server.pid) <= before, f"{before} descriptors as before")
    fresh = server.client("fresh")
    victim = server.admin.workers()[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: server.admin.ready() and victim not in server.worker_pids(), "a successor")
    for client, user in ((old, "old"), (fresh, "fresh")):
        assert server.push(user, 110, data=user) == 1
        assert client.recv_message().json() == user


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\nkill -SEGV $$\n", "no program"])
def test_binary_that_does_not_run_changes_nothing(installed, script):
    server = installed()
    server.expect_log("upgrade_refused")
    pids = server.worker_pids()
    install(server, script)
    server.signal(signal.SIGUSR2)
    refused(server, pids)


def test_client_that_leaves_while_a_binary_is_tried_wakes_nobody(installed, tmp_path):
    """The trial begins with a copy of every descriptor: were it to keep a client's, the epoll set
    would tell of that client again and again."""
    server = installed()
    client, other = server.client("u"), server.client("other")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    server.expect_log("event=upgrade_refused")
    install(server, f"#!/bin/sh\nread line <{gate}\nexit 1\n")
    server.signal(signal.SIGUSR2)
    with open(gate, "w"):       # waits until the trial runs
        client.close()
        server.wait_connections(1)
        turns = server.admin.counter("turns_total")
        for _ in range(20):
            other.expect_silence()
        assert server.admin.counter("turns_total") - turns < 500
    wait_for(lambda: "event=upgrade_refused" in server.log(), "the end of the trial")


def test_file_with_mistakes_is_found_before_anything_happens(installed):
    server = installed()
    server.expect_log("upgrade_refused")
    pids = server.worker_pids()
    with open(server.conf_path, "a") as conf:
        conf.write("heartbeat = 0\n")
    server.signal(signal.SIGUSR2)
    refused(server, pids)
    assert "heartbeat" in server.log()


def test_keys_that_need_a_restart_are_named(installed):
    server = installed(workers=2)
    server.expect_log("upgrade_refused|differs from the running server")
    pids = server.worker_pids()
    write_conf(server.conf_path, {**server.config, "workers": 3, "heartbeat": 7}, server.opcodes)
    server.signal(signal.SIGUSR2)
    refused(server, pids)
    assert "workers: differs" in server.log() and "heartbeat: differs" not in server.log()


def test_log_that_cannot_be_opened_any_more_is_found(installed, tmp_path):
    """The version before could not open it either: there would be no way back."""
    folder = tmp_path / "logs"
    folder.mkdir()
    server = installed(log=str(folder / "wspushd.log"))
    client, before = server.client("u"), server.worker_pids()
    folder.rename(tmp_path / "gone")
    server.signal(signal.SIGUSR2)
    wait_for(lambda: server.admin.stats()["upgrade"]["number"] == 1 and
             not server.admin.stats()["upgrade"]["under_way"], "the end of the upgrade")
    upgrade_report = server.admin.stats()["upgrade"]
    assert upgrade_report["outcome"] == "refused"
    assert "wspushd.log: No such file or directory" in upgrade_report["text"]
    assert server.worker_pids() == before
    assert server.push("u", 110, data=1) == 1 and client.recv_message().json() == 1


def test_reloadable_keys_come_with_the_upgrade(installed):
    server = installed(heartbeat=25)
    write_conf(server.conf_path, {**server.config, "heartbeat": 7}, server.opcodes)
    upgrade(server)
    assert server.client("u").hello["heartbeat"] == 7
