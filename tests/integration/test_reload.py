"""SIGHUP: a new configuration that no client notices. No connection is closed, no push is lost, and
partial messages are completed afterwards."""

import json
import signal

import pytest

from harness.client import ACCEPTED, AUTH, GAP, PING, PONG, encode_binary
from harness.frames import BINARY, frame
from harness.http import upgrade_head
from harness.login import admit, ask, bearer, refuse, section
from harness.publisher import Publisher, check_received, pull_all
from harness.server import write_conf
from harness.wait import wait_for
from test_slow import flood, number_of, slow_client


@pytest.fixture
def reloaded(make_server):
    """A server whose workers are replaced on purpose."""
    def make(**config):
        server = make_server(**config)
        server.workers_may_change = True
        return server
    return make


def reload(server, **changes):
    """Changes push.conf, sends SIGHUP, and waits until every worker is another."""
    before = server.worker_pids()
    server.config.update(changes)
    write_conf(server.conf_path, server.config, server.opcodes)
    server.signal(signal.SIGHUP)
    wait_for(lambda: not set(before) & {worker["pid"] for worker in workers(server)},
             "every worker to be replaced")


def workers(server):
    try:
        return server.admin.workers()
    except (OSError, AssertionError):
        return [{"pid": pid} for pid in server.worker_pids()]


def test_reload_under_load_with_200_clients_closes_and_loses_nothing(reloaded):
    server = reloaded(workers=3)
    users = [f"u{n}" for n in range(200)]
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users)
        publisher = Publisher(server, users)
        publisher.start()
        for number in range(5):
            reload(server, heartbeat=20 + number)
            swarm.pump_for(0.2)
        rounds = publisher.finish()
        pull_all(swarm, clients, rounds)
        assert publisher.unheard == 0, "a user seemed offline"
        assert check_received(clients, rounds) == 0, "a planned change sends nothing twice"
    assert all(worker["restarts"] == 0 for worker in server.admin.workers())


def test_new_values_are_in_force(reloaded):
    server = reloaded(echo_path="/echo", heartbeat=25)
    old = server.echo_client()
    reload(server, echo_path="/other", heartbeat=9)
    old.echo()
    refused = server.raw()
    refused.send_upgrade(path="/echo")
    assert refused.recv_response().status == 404
    assert server.client("u").hello["heartbeat"] == 9


def test_file_with_mistakes_changes_nothing(server):
    client = server.client("u")
    pids = server.worker_pids()
    server.expect_log("reload_refused")
    good = server.conf_path.read_text()
    server.conf_path.write_text(good + '\nheartbeat = 0\nno_such_key = 1\n')
    server.signal(signal.SIGHUP)
    wait_for(lambda: server.log().count("event=reload_refused") >= 2, "both mistakes in the log")
    assert "heartbeat" in server.log() and "no_such_key" in server.log()
    server.conf_path.write_text(good)
    assert server.worker_pids() == pids
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


def test_keys_that_need_a_restart_are_kept_and_named(reloaded):
    server = reloaded(workers=2, max_connections=50)
    reload(server, max_connections=1, prefix="other:", heartbeat=8)
    server.config.update(prefix=server.config["prefix"])
    for key in ("max_connections", "prefix"):
        wait_for(lambda: f"event=reload_kept key={key}" in server.log(), f"{key} to be named")
    assert "reload_kept key=heartbeat" not in server.log()
    clients = [server.client(f"u{n}") for n in range(3)]
    assert len(clients) == 3, "the limit is the old one"


@pytest.mark.parametrize("cut", [1, 3, 9, 40])
def test_message_that_has_half_come_is_finished(reloaded, cut):
    server = reloaded()
    data = frame(BINARY, encode_binary(PING, b"a payload to be cut " * 3))
    client, echo = server.client("u"), server.echo_client()
    client.send_bytes(data[:cut])
    echo.send_bytes(frame(BINARY, b"first, ", fin=False))
    wait_for(lambda: server.admin.metrics() is not None, "a turn of the loop")
    reload(server)
    client.send_bytes(data[cut:])
    echo.send_bytes(frame(0, b"then the rest"))
    assert client.recv_message()[:2] == (PONG, b"a payload to be cut " * 3)
    assert echo.recv_data() == (BINARY, b"first, then the rest")


def test_request_head_that_has_half_come_is_finished(reloaded):
    server = reloaded()
    head = upgrade_head("/ws?user=half")
    client = server.raw()
    client.send_bytes(head[:25])
    wait_for(lambda: server.admin.connections() == 1, "the connection to be accepted")
    reload(server)
    client.send_bytes(head[25:])
    client.expect_upgrade()
    client.expect_hello()


def test_backlog_of_a_slow_client_goes_along(reloaded):
    server = reloaded(send_buffer=16384, queue_limit=4 << 20)
    client = slow_client(server, "slow")
    flood(server, "slow", 2000)
    wait_for(lambda: server.admin.user("slow")[0]["queue"] > 0, "the client to be slow")
    reload(server)
    assert [number_of(client.recv_message()) for _ in range(2000)] == list(range(2000))


def test_key_of_tokens_is_read_again(reloaded, keys, tmp_path):
    """Connected clients stay; new tokens must be signed with the new key. An invalid key changes
    nothing."""
    file = tmp_path / "jwt.key"
    old, new = "o" * 64, "n" * 64
    file.write_text(old)
    server = reloaded(auth=["jwt"], jwt=section(key_file=file))
    server.expect_log("reload_refused")
    there = admit(server, bearer(keys.token("42", secret=old)), "42")
    file.write_text(new)
    reload(server)
    refuse(server, bearer(keys.token("42", secret=old)), says="its signature is wrong")
    admit(server, bearer(keys.token("42", secret=new)), "42")
    there.send_message(AUTH, json.dumps({"token": keys.token("42", secret=old)}).encode())
    assert there.recv_message().json()["code"] == "forbidden"
    there.send_message(AUTH, json.dumps({"token": keys.token("42", secret=new)}).encode())
    assert there.recv_message().op == ACCEPTED
    file.write_text("too short")
    server.signal(signal.SIGHUP)
    wait_for(lambda: "event=reload_refused" in server.log(), "the refusal in the log")
    admit(server, bearer(keys.token("42", secret=new)), "42")


def test_another_redis_is_a_gap_and_then_serves(reloaded, own_redis):
    first, second = own_redis().start(), own_redis().start()
    server = reloaded(redis_server=first, redis=first.url)
    client = server.client("u")
    reload(server, redis=second.url)
    gap = client.recv_message()
    assert gap.op == GAP and gap.json()["ms"] >= 0
    wait_for(lambda: second.subscribers(server.channel("user:u")) == 1, "the subscription")
    second.publish(server.channel("user:u"), b"\0\0\0\x6eover here")
    message = client.recv_message()
    if message.op == GAP: # the node's link, which brings push:all, may change after its home's
        message = client.recv_message()
    assert message[:2] == (110, b"over here")
    assert first.subscribers(server.channel("user:u")) == 0


def test_login_under_way_begins_anew_with_the_successor(reloaded, own_redis):
    redis = own_redis().start()
    server = reloaded(redis_server=redis, auth=["session"], auth_timeout=30,
                      handshake_timeout=60, workers=2)
    redis.client.set("session:good", "good")
    redis.process.send_signal(signal.SIGSTOP)
    try:
        clients = [ask(server, [("Cookie", "sid=good")]) for _ in range(8)]
        wait_for(lambda: server.admin.counter("connections_accepted_total") == 8, "all to ask")
        reload(server)
    finally:
        redis.process.send_signal(signal.SIGCONT)
    for client in clients:
        client.expect_upgrade()
        assert client.expect_hello()["user"] == "good"
