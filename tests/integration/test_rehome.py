"""SIGHUP with other listeners: what is new accepts, what is gone refuses, and nobody is closed."""

import os
import signal
import socket

import pytest

from harness.client import PING, PONG
from harness.net import can_connect, free_port
from harness.server import parse_address, write_conf
from harness.systemd import passing
from harness.wait import wait_for
from test_upgrade import installed, upgrade  # noqa: F401 (a fixture)


@pytest.fixture
def changed(make_server):
    """A server whose workers are replaced on purpose."""
    def make(**config):
        server = make_server(**config)
        server.workers_may_change = True
        return server
    return make


def reload(server, **changes):
    """Changes push.conf, sends SIGHUP, and waits for the end of the reload."""
    done = server.log().count("event=reloaded")
    server.config.update(changes)
    write_conf(server.conf_path, server.config, server.opcodes)
    server.signal(signal.SIGHUP)
    wait_for(lambda: server.log().count("event=reloaded") == done + 1, "the end of the reload")


def refused(server, **changes):
    """The same with a file that must be refused; the configuration is the old one again after."""
    refusals, pids = server.log().count("event=reload_refused"), server.worker_pids()
    server.expect_log("reload_refused|listen_failed|inherit_failed")
    write_conf(server.conf_path, {**server.config, **changes}, server.opcodes)
    server.signal(signal.SIGHUP)
    wait_for(lambda: server.log().count("event=reload_refused") > refusals, "the refusal")
    write_conf(server.conf_path, server.config, server.opcodes)
    assert server.worker_pids() == pids, "nothing has changed"


def check_served(server, client, user):
    """The connection lives, both ways."""
    assert server.push(user, 110, data=user) == 1
    assert client.recv_message().json() == user
    client.send_message(PING, b"ping")
    assert client.recv_message()[:2] == (PONG, b"ping")


# Listeners.

def test_new_listener_accepts_and_the_one_that_is_gone_refuses(changed, tmp_path):
    old, new = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    before, after = tmp_path / "before.sock", tmp_path / "after.sock"
    stays = f"127.0.0.1:{free_port()}"
    server = changed(listen=[old, stays, f"unix:{before}"])
    clients = {user: server.client(user, address=address)
               for user, address in zip(("tcp", "stays", "unix"), server.addresses)}
    reload(server, listen=[f"unix:{after}", stays, new])
    for address in server.addresses:
        server.client("fresh", address=address)
    assert not can_connect(parse_address(old)) and not before.exists()
    for user, client in clients.items():
        check_served(server, client, user)
    server.stop()
    assert not after.exists()


def test_admin_and_listen_may_change_places(changed):
    server = changed()
    client = server.client("u")
    listen, admin = server.config["listen"], server.config["admin"]
    reload(server, listen=[admin], admin=listen[0])
    assert server.admin.status("/healthz") == 200
    check_served(server, client, "u")
    check_served(server, server.client("v"), "v")
    reload(server, admin="")
    assert not can_connect(parse_address(listen[0]))
    reload(server, admin=f"127.0.0.1:{free_port()}")
    wait_for(server.admin.ready, "/readyz 200")


def test_address_that_is_taken_changes_nothing(changed, tmp_path):
    server = changed(heartbeat=25)
    fresh, path = f"127.0.0.1:{free_port()}", tmp_path / "taken.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        for address in (f"127.0.0.1:{taken.getsockname()[1]}", f"unix:{path}"):
            refused(server, listen=[fresh, *server.config["listen"], address], heartbeat=9)
            assert not can_connect(parse_address(fresh)), "it was closed again"
    assert path.exists(), "another's file"
    assert server.client("u").hello["heartbeat"] == 25
    reload(server, listen=[fresh])
    assert server.client("v").hello["user"] == "v"


def test_passed_socket_stays_and_must_stay_named(make_server):
    with socket.create_server(("127.0.0.1", 0)) as passed:
        own = f"127.0.0.1:{passed.getsockname()[1]}"
        other = f"127.0.0.1:{free_port()}"
        server = make_server(start=False, listen=[own])
        server.start(**passing([passed]))
        server.workers_may_change = True
        client = server.client("u")
        refused(server, listen=[other])
        assert "push.conf names this address" in server.log()
        reload(server, listen=[other, own])
        for address in server.addresses:
            server.client("fresh", address=address)
        reload(server, listen=[own])
        check_served(server, client, "u")
        assert not can_connect(parse_address(other)) and can_connect(parse_address(own))


def test_reloads_that_come_together_end_with_the_last(changed, tmp_path):
    server = changed(workers=3)
    client = server.client("u")
    for heartbeat in range(20, 30):
        server.config.update(listen=[f"127.0.0.1:{free_port()}"], heartbeat=heartbeat)
        whole = write_conf(tmp_path / "push.conf", server.config, server.opcodes)
        os.replace(whole, server.conf_path)  # an earlier signal may still be at work
        server.signal(signal.SIGHUP)
    wait_for(lambda: can_connect(server.address), "the last listener")
    wait_for(lambda: server.client("v").hello["heartbeat"] == 29, "the last configuration")
    check_served(server, client, "u")


def test_upgrade_wants_listeners_as_they_are_and_keeps_them(installed):  # noqa: F811
    server = installed()
    server.expect_log("upgrade_refused")
    client = server.client("u")
    fresh = f"127.0.0.1:{free_port()}"
    write_conf(server.conf_path, {**server.config, "listen": [fresh]}, server.opcodes)
    server.signal(signal.SIGUSR2)
    wait_for(lambda: "event=upgrade_refused" in server.log(), "the refusal")
    assert "listen: differs from the running server, and needs a reload first" in server.log()
    reload(server, listen=[fresh])
    upgrade(server)
    check_served(server, client, "u")
    check_served(server, server.client("v"), "v")


def test_descriptors_of_old_listeners_are_given_back(changed):
    server = changed()
    def count():
        return len(os.listdir(f"/proc/{server.pid}/fd"))
    reload(server)
    before = wait_for(count, "a count")
    for _ in range(10):
        reload(server, listen=[f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"])
    wait_for(server.admin.ready, "/readyz 200")
    wait_for(lambda: count() <= before + 1, f"{before} descriptors as before")
