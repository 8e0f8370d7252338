"""An upgrade to a binary with another layout of shared memory: migrated if the new binary can, or else a
restart that is announced to the clients."""

import re
import shutil
import signal
import subprocess

import pytest

from harness import admin
from harness.build import ROOT, built, install
from harness.client import BYE, PING, PONG, encode_binary
from harness.frames import BINARY, frame
from harness.net import can_connect, free_port
from harness.process import descriptors
from harness.publisher import Publisher, check_received, pull_all
from harness.server import write_conf
from harness.wait import wait_for
from test_slow import flood, number_of, slow_client
from test_topics import join
from test_upgrade import installed, upgrade  # noqa: F401
from test_wspushctl import DONE, ctl

NEXT = "wspushd-next"         # knows how to take this layout over
FOREIGN = "wspushd-foreign"   # does not


def started(server):
    return server.log().count("event=started")


def replace(server, program):
    """An upgrade that is a restart: returns once the new version is ready."""
    before = started(server)
    install(server, built(program))
    server.signal(signal.SIGUSR2)
    wait_for(lambda: started(server) == before + 1, "the new version")
    wait_for(server.admin.ready, "/readyz 200")


def expect_restart(client):
    """BYE with a delay, 1012, the end. Returns the delay."""
    message = client.recv_message()
    assert message.op == BYE and message.json()["reason"] == "restart"
    client.expect_close(1012)
    return message.json()["reconnect_ms"]


# Which layouts differ.

def fingerprint(tree, command="scripts/layout"):
    """The fingerprint that the sources in `tree` have."""
    made = tree / "stored-structs.o"
    subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-I.", "-O2", "-g", "-gdwarf-4", "-c",
                    "-o", made, "scripts/stored-structs.c"], cwd=tree, check=True)
    return subprocess.run([ROOT / command, made], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def sources(tmp_path):
    """A copy of the headers, to be changed."""
    for folder in ("common", "proto", "shm", "worker", "scripts"):
        (tmp_path / folder).mkdir()
        for file in [*(ROOT / folder).glob("*.h"), *(ROOT / folder).glob("stored-structs.c")]:
            shutil.copy(file, tmp_path / folder)
    return tmp_path


def edit(tree, path, old, new):
    text = (tree / path).read_text()
    assert text.count(old) == 1, f"{path} has changed: {old}"
    (tree / path).write_text(text.replace(old, new))


@pytest.mark.parametrize("path, old, new", [
    ("shm/conn.h", "uint32_t since; ", "uint32_t since_s; "),
    ("shm/slot.h", "_Atomic uint32_t restarts; ", "_Atomic uint32_t restarts, more; "),
    ("shm/stats.h", "struct stats {\n", "struct stats {\n _Alignas(64) _Atomic uint64_t before;\n"),
    ("shm/conn.h", "CONN_ECHO = 1 << 1", "CONN_ECHO = 1 << 14"),
    ("worker/parcel_format.h", "uint32_t request;", "uint64_t request;"),
    ("proto/ws.h", "struct ws_rx {\n", "struct ws_rx {\n uint32_t more;\n"),
    ("shm/segment.h", "WORKERS_MAX = 64", "WORKERS_MAX = 32"),
    ("shm/layout.h", "LAYOUT_MEANING = 1 ", "LAYOUT_MEANING = 2 "),
], ids=["renamed", "inserted", "appended", "flag", "parcel", "nested", "array", "meaning"])
def test_changed_struct_is_another_layout(sources, path, old, new):
    before = fingerprint(sources)
    edit(sources, path, old, new)
    assert fingerprint(sources) != before


def test_comments_and_private_structs_do_not_change_the_layout(sources):
    before = fingerprint(sources)
    edit(sources, "shm/conn.h", "struct conn {\n", "/* A comment. */\n\n\nstruct conn {\n")
    edit(sources, "shm/segment.h", "struct segment {\n", "struct segment {\n    int more;\n")
    assert fingerprint(sources) == before


# With a row in the table.

def test_everything_is_carried_over_under_load(installed):
    server = installed(workers=3, topics=["*"], send_buffer=16384, queue_limit=4 << 20)
    pid, users = server.pid, [f"u{n}" for n in range(100)]
    half, slow, member = server.client("half"), slow_client(server, "slow"), server.client("member")
    join(member, "room")
    flood(server, "slow", 2000)
    wait_for(lambda: server.admin.user("slow")[0]["queue"] > 0, "the client to be slow")
    data = frame(BINARY, encode_binary(PING, b"a payload to be cut"))
    half.send_bytes(data[:11])
    accepted = server.admin.counter(admin.ACCEPTED)
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users)
        publisher = Publisher(server, users)
        publisher.start()
        upgrade(server, built(NEXT))
        swarm.pump_for(0.2)
        rounds = publisher.finish()
        pull_all(swarm, clients, rounds)
        assert publisher.unheard == 0, "a user seemed offline"
        assert check_received(clients, rounds) == 0, "a planned change sends nothing twice"
    assert re.search(r"event=migrated from=[0-9a-f]{16} to=0{12}1001 ", server.log())
    assert server.pid == pid
    assert server.admin.counter(admin.ACCEPTED) >= accepted + 100
    half.send_bytes(data[11:])
    assert half.recv_message()[:2] == (PONG, b"a payload to be cut")
    assert [number_of(slow.recv_message()) for _ in range(2000)] == list(range(2000))
    assert server.publish("topic:room", {"op": 110, "data": 1}) == 1
    assert member.recv_message().json() == 1


def test_new_layout_goes_on_as_any_other(installed):
    server = installed()
    server.expect_log("died")
    client = server.client("u")
    upgrade(server, built(NEXT))
    before = descriptors(server.pid)
    upgrade(server, built(NEXT))
    wait_for(lambda: descriptors(server.pid) <= before, f"{before} descriptors as before")
    server.kill_worker(server.admin.workers()[0])
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


# Without one.

def test_without_a_row_clients_are_told_of_a_restart(installed):
    server = installed(workers=3, drain_timeout=2)
    server.expect_log("upgrade_restarts")
    pid = server.pid
    clients = [server.client(f"u{n}", ("binary", "json")[n % 2]) for n in range(40)]
    replace(server, FOREIGN)
    delays = sorted(expect_restart(client) for client in clients)
    assert delays[0] < 400 and delays[-1] > 1600 and len(set(delays)) > 30, "spread over the whole time"
    assert server.pid == pid and server.process.poll() is None
    assert server.admin.connections() == 0
    fresh = server.client("u0")
    assert server.push("u0", 110, data=1) == 1
    assert fresh.recv_message().json() == 1


def test_wspushctl_tells_of_the_restart(installed):
    server = installed()
    server.expect_log("upgrade_restarts")
    for _ in range(2):
        client = server.client("u")
        install(server, built(FOREIGN))
        ran = ctl(server, "upgrade")
        assert ran.status == DONE and "clients were told of a restart" in ran.out, ran
        expect_restart(client)
        install(server, built("wspushd"))
        assert ctl(server, "upgrade").status == DONE
    assert server.admin.stats()["upgrade"]["number"] == 4


def test_who_comes_meanwhile_waits_for_the_new_version(installed):
    """The listening sockets stay open all the time, so no client is refused."""
    server = installed(drain_timeout=3, workers=1)
    server.expect_log("upgrade_restarts")
    stubborn = server.raw() # does not answer the close frame, so that the drain takes its time
    stubborn.send_upgrade("stubborn")
    stubborn.expect_upgrade()
    stubborn.expect_hello()
    install(server, built(FOREIGN))
    server.signal(signal.SIGUSR2)
    assert stubborn.recv_message().op == BYE, "the worker no longer accepts connections"
    patient = server.raw()
    assert started(server) == 1, "still the old version"
    wait_for(lambda: started(server) == 2, "the new version")
    wait_for(server.admin.ready, "/readyz 200")
    patient.send_upgrade("patient")
    patient.expect_upgrade()
    patient.expect_hello()


def test_restart_leaves_nothing_open_and_can_be_repeated(installed):
    server = installed()
    server.expect_log("upgrade_restarts")
    upgrade(server)
    before = descriptors(server.pid) + server.config["workers"] # their command links may be to come
    for program in (FOREIGN, "wspushd", FOREIGN, NEXT, "wspushd"):
        server.client(f"before-{program}")
        replace(server, program)
        wait_for(lambda: descriptors(server.pid) <= before, f"{before} descriptors at most")
        client = server.client("u")
        assert server.push("u", 110, data=program) == 1
        assert client.recv_message().json() == program


def test_restart_takes_keys_that_need_one(installed):
    server = installed(workers=2)
    server.expect_log("upgrade_restarts")
    old = server.address
    server.config.update(max_push=4 << 20, listen=[f"127.0.0.1:{free_port()}"])
    write_conf(server.conf_path, server.config, server.opcodes)
    replace(server, FOREIGN)
    client = server.client("u")
    assert server.push("u", 110, text="x" * (3 << 20)) == 1
    assert len(client.recv_message().payload) == 3 << 20
    assert not can_connect(old), "no process would accept there"


def test_stop_while_it_drains_is_a_stop(installed):
    server = installed(drain_timeout=3)
    server.expect_log("upgrade_restarts")
    client = server.client("u")
    install(server, built(FOREIGN))
    server.signal(signal.SIGUSR2)
    wait_for(lambda: "event=draining" in server.log(), "the drain")
    server.signal(signal.SIGTERM)
    expect_restart(client)
    client.close()
    assert server.wait_exit() == 0
    assert started(server) == 1


def test_binary_that_goes_away_within_the_drain_ends_the_server_for_a_restart(installed):
    server = installed(drain_timeout=3)
    server.expect_log("upgrade_re")
    client = server.client("u")
    install(server, built(FOREIGN))
    server.signal(signal.SIGUSR2)
    wait_for(lambda: "event=draining" in server.log(), "the drain")
    server.binary.unlink()
    expect_restart(client)
    client.close()
    assert server.wait_exit() == 3, "its supervisor has to restart it"


@pytest.mark.parametrize("key", ["max_connections"])
def test_row_does_not_excuse_keys_that_need_a_restart(installed, key):
    server = installed()
    server.expect_log("upgrade_refused")
    pids = server.worker_pids()
    write_conf(server.conf_path, {**server.config, key: 77}, server.opcodes)
    install(server, built(NEXT))
    server.signal(signal.SIGUSR2)
    wait_for(lambda: "event=upgrade_refused" in server.log(), "the refusal")
    assert f"{key}: differs" in server.log() and server.worker_pids() == pids
