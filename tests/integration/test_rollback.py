"""A new version that passes its trial and fails afterwards is replaced by the version before it."""

import os
import signal

import pytest

from harness.build import built, install
from harness.client import PING, PONG, encode_binary
from harness.frames import BINARY, frame
from harness.process import alive, descriptors
from harness.publisher import Publisher, check_received, pull_all
from harness.server import write_conf
from harness.wait import wait_for
from test_layouts import FOREIGN, NEXT, expect_restart
from test_upgrade import installed, upgrade  # noqa: F401: a fixture
from test_wspushctl import DONE, REFUSED, ctl

FAULTS = "wspushd-faults"
BACK = "the previous version has taken over again"

# The places where the new version fails, and the log's reports.
ENDS = [("master fault:abort", "the new version was killed by SIGABRT"),
        ("master fault:segv", "the new version was killed by SIGSEGV"),
        ("master fault:overflow", "the new version was killed by SIGSEGV"),
        ("master fault:end", "the new version exited: see the log"),
        ("supervisor fault:segv", "the new version was killed by SIGSEGV"),
        ("supervisor fault:end", "the new version exited: see the log"),
        ("worker fault:abort", "not every worker of the new version served"),
        ("turned fault:abort", "not every worker of the new version served"),
        ("worker fault:exit", "not every worker of the new version served")]


@pytest.fixture
def faulty(installed):  # noqa: F811
    """A server whose next version has a fault at a place."""
    def make(fault="", **config):
        server = installed(start=False, **config)
        server.expect_log("upgrade_fails|rolled_back|died|worker_backoff|upgrade_refused")
        # A sanitizer's own handler would print, and end the process.
        options = os.environ.get("ASAN_OPTIONS", "")
        server.start(env={"WSPUSHD_FAULT": fault,
                          "ASAN_OPTIONS": f"{options}:handle_segv=0:use_sigaltstack=0"})
        return server
    return make


def serves(server, client, data):
    assert server.push(client.hello["user"], 110, data=data) == 1
    assert client.recv_message().json() == data


def expect_refusal(server, why, program=FAULTS):
    """An upgrade that comes to its end with the version before."""
    pid, before = server.pid, server.worker_pids()
    install(server, built(program))
    ran = ctl(server, "upgrade")
    assert (ran.status, ran.out) == (REFUSED, "")
    assert why in ran.err and BACK in ran.err
    assert server.pid == pid and server.process.poll() is None
    assert not set(before) & set(server.worker_pids()), "the new version did start"
    wait_for(lambda: not any(map(alive, before)), "the end of the workers before")


@pytest.mark.parametrize("fault, why", ENDS, ids=str)
def test_the_version_before_takes_over_again(faulty, fault, why):
    server = faulty(fault, workers=3)
    client = server.client("u")
    expect_refusal(server, why)
    serves(server, client, "old")
    serves(server, server.client("new"), 1)
    assert "event=rolled_back" in server.log()


def test_nothing_is_closed_or_lost_under_load(faulty):
    server = faulty("supervisor fault:abort", workers=3)
    users = [f"u{n}" for n in range(100)]
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users)
        publisher = Publisher(server, users)
        publisher.start()
        install(server, built(FAULTS))
        for _ in range(5):
            assert ctl(server, "upgrade").status == REFUSED
            swarm.pump_for(0.1)
        rounds = publisher.finish()
        pull_all(swarm, clients, rounds)
        assert publisher.unheard == 0, "a user seemed offline"
        check_received(clients, rounds)     # workers of the new version are killed: some come twice


def test_workers_that_hang_are_enough(faulty):
    server = faulty("worker fault:spin", workers=2, watchdog=1)
    server.expect_log("worker_hangs")
    client = server.client("u")
    install(server, built(FAULTS))
    ran = ctl(server, "upgrade", timeout=60)
    assert ran.status == REFUSED and "not every worker of the new version served" in ran.err
    serves(server, client, 1)


def test_what_has_half_come_goes_along(faulty):
    """There and back without a worker killed: the new master fails before it has any."""
    server = faulty("master fault:abort")
    data = frame(BINARY, encode_binary(PING, b"a payload to be cut"))
    half = server.client("half")
    half.send_bytes(data[:11])
    expect_refusal(server, "the new version was killed by SIGABRT")
    half.send_bytes(data[11:])
    assert half.recv_message()[:2] == (PONG, b"a payload to be cut")


def test_nothing_is_left_open(faulty):
    server = faulty("supervisor fault:abort")
    upgrade(server)
    before = descriptors(server.pid) + server.config["workers"] # their command links may be to come
    install(server, built(FAULTS))
    for _ in range(4):
        assert ctl(server, "upgrade").status == REFUSED
    wait_for(lambda: descriptors(server.pid) <= before, f"{before} descriptors at most")


def test_the_version_before_has_its_configuration_still(faulty):
    """What the new version was to take may be why it failed."""
    server = faulty("supervisor fault:abort", heartbeat=25)
    write_conf(server.conf_path, {**server.config, "heartbeat": 7}, server.opcodes)
    expect_refusal(server, "the new version was killed by SIGABRT")
    assert server.client("old").hello["heartbeat"] == 25
    expect_refusal(server, "the new version was killed by SIGABRT")
    assert server.client("still-old").hello["heartbeat"] == 25
    assert ctl(server, "reload").status == DONE
    assert server.client("new").hello["heartbeat"] == 7
    write_conf(server.conf_path, {**server.config, "heartbeat": 9}, server.opcodes)
    expect_refusal(server, "the new version was killed by SIGABRT")
    assert server.client("reloaded").hello["heartbeat"] == 7


def test_afterwards_it_can_be_upgraded_and_reloaded(faulty):
    server = faulty("master fault:abort")
    client = server.client("u")
    expect_refusal(server, "the new version was killed by SIGABRT")
    assert ctl(server, "reload").status == DONE
    assert os.readlink(f"/proc/{server.pid}/exe").endswith(" (deleted)"), "the version before"
    install(server)
    assert ctl(server, "upgrade").status == DONE
    assert os.readlink(f"/proc/{server.pid}/exe") == str(server.binary)
    serves(server, client, 1)
    server.kill_worker(server.admin.workers()[0])
    serves(server, client, 2)


def test_stop_of_a_new_version_that_does_not_serve_is_a_stop(faulty):
    server = faulty("worker fault:spin", watchdog=30, drain_timeout=1)
    server.expect_log("stop_timeout")       # its workers are killed then
    install(server, built(FAULTS))
    server.signal(signal.SIGUSR2)
    wait_for(lambda: server.log().count("event=started") == 2, "the new version")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 2
    assert "event=rolled_back" not in server.log()


# Between layouts.

def test_before_any_worker_of_another_layout(faulty):
    server = faulty("master fault:abort")
    client = server.client("u")
    expect_refusal(server, "the new version was killed by SIGABRT", NEXT)
    assert "event=migrated" in server.log()
    serves(server, client, 1)


def test_restart_that_fails_is_one_to_the_version_before(faulty):
    server = faulty("master fault:abort")
    server.expect_log("upgrade_restarts")
    pid, client = server.pid, server.client("u")
    install(server, built(FOREIGN))
    ran = ctl(server, "upgrade")
    assert ran.status == REFUSED and BACK in ran.err and "told of a restart" in ran.err
    expect_restart(client)
    assert server.pid == pid
    serves(server, server.client("u"), 1)


# Files that are not servers.

@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 0\n", "#!/bin/sh\necho push.conf: ok\n"])
def test_a_trial_that_says_nothing_proves_nothing(installed, script):  # noqa: F811
    server = installed()
    server.expect_log("upgrade_refused")
    before = server.worker_pids()
    install(server, script)
    ran = ctl(server, "upgrade")
    assert ran.status == REFUSED and "does not say that it can take over" in ran.err
    assert server.worker_pids() == before
