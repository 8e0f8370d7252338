"""Redis in each state in which it refuses commands: what still works, and what is reported."""

import contextlib
import socket
import subprocess
import threading
import time

import pytest
import redis as redis_client

from harness.client import GAP
from harness.net import free_port
from harness.redis_server import Script
from harness.wait import SLACK, WSPUSHD, wait_for

LINK_LINES = r"(?i)redis|link"
RECONNECT = 30 * SLACK


@pytest.fixture
def linked(own_redis, make_server):
    """linked(key=value): a server with a private Redis that the test may disturb."""
    def make(**config):
        redis = own_redis().start()
        server = make_server(redis_server=redis, **config)
        server.expect_log(LINK_LINES)
        return server
    return make


def wait_ready(server, timeout=RECONNECT):
    wait_for(server.admin.ready, "/readyz 200", timeout, interval=0.02)


def works(server, user="u"):
    client = server.client(user)
    assert server.push(user, 110, data=1) == 1
    assert client.recv_message().json() == 1
    return client


def not_ready(server, part=""):
    """Waits until /readyz's text on Redis contains this part; returns the text."""
    def why():
        response = server.admin.get("/readyz")
        text = response.json().get("redis", "") if response.status == 503 else ""
        return part in text and text
    return wait_for(why, "/readyz to say why", RECONNECT)


def status(server):
    """Returns the output of wspushctl."""
    return subprocess.run([WSPUSHD.with_name("wspushctl"), "--admin", server.config["admin"], "status"],
                          capture_output=True, text=True, timeout=10 * SLACK).stdout


def downs(server):
    return server.log().count("event=redis_link_down")


# It cannot save: MISCONF.

@contextlib.contextmanager
def unable_to_save(redis):
    """As with a full disk."""
    (redis.directory / "dump.rdb").mkdir()
    redis.client.config_set("save", "1 1")
    redis.client.set("x", 1)
    wait_for(lambda: redis.client.info("persistence")["rdb_last_bgsave_status"] == "err",
             "a save to fail", 30)
    with pytest.raises(redis_client.ResponseError, match="MISCONF"):
        redis.client.execute_command("PING")
    try:
        yield
    finally:
        redis.client.config_set("save", "")     # or it does not end


def test_redis_that_cannot_save_carries_pushes(linked):
    server = linked()
    before = server.client("before")
    with unable_to_save(server.redis):
        works(server, "after")
        assert server.push("before", 110, data=2) == 1
        assert before.recv_message().json() == 2
        assert downs(server) == 0
        assert server.admin.ready()


def test_link_is_made_while_redis_cannot_save(linked):
    server = linked()
    with unable_to_save(server.redis):
        connects = server.admin.counter("redis_connects_total")
        server.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        wait_for(lambda: server.admin.counter("redis_connects_total") > connects, "a new link")
        wait_ready(server)
        works(server)


# A script runs: BUSY.

def handshake(server, user):
    """A client with its 101, and no HELLO yet."""
    client = server.raw()
    client.send_upgrade(user)
    client.expect_upgrade()
    return client


def test_what_a_busy_redis_refuses_is_asked_again(linked):
    """Logins and leavings of that time are subscribed and unsubscribed afterwards, and the link
    stays: nobody gets a GAP."""
    server = linked(workers=1)
    steady, leaves = server.client("steady"), server.client("leaves")
    script = Script(server.redis)
    try:
        comes = handshake(server, "comes")
        leaves.close()
        wait_for(lambda: not server.admin.user("leaves"), "the connection to be gone")
        later = handshake(server, "later")
        comes.expect_silence()
    finally:
        script.end()
    comes.expect_hello()
    later.expect_hello()
    wait_for(lambda: server.subscribers("leaves") == 0, "the user who has left to be offline")
    for number, client in enumerate([steady, comes, later]):
        user = ["steady", "comes", "later"][number]
        assert server.push(user, 110, data=number) == 1
        assert client.recv_message().json() == number
    assert downs(server) == 0


def test_worker_dies_while_redis_is_busy(linked):
    """Its successor does not know what was refused, and makes the link again."""
    server = linked(workers=1)
    server.workers_may_change = True
    server.expect_log("worker|died|killed|signal")
    steady, leaves = server.client("steady"), server.client("leaves")
    script = Script(server.redis)
    try:
        comes = handshake(server, "comes")
        leaves.close()
        wait_for(lambda: not server.admin.user("leaves"), "the connection to be gone")
        comes.expect_silence()
        server.kill_worker(server.admin.workers()[0])
    finally:
        script.end()
    wait_ready(server)
    comes.expect_hello()
    assert steady.recv_message(timeout=RECONNECT).op == GAP
    assert server.subscribers("leaves") == 0
    assert server.subscribers("comes") == 1


# It is loading: LOADING.

def test_link_is_made_while_redis_is_loading(own_redis, make_server):
    redis = own_redis().start()
    redis.client.mset({f"key:{number}": number for number in range(20000)})
    redis.client.save()
    redis.stop()
    redis.arguments = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]
    redis.launch()
    wait_for(lambda: is_loading(redis), "Redis to load")
    server = make_server(redis_server=redis, ready=False)
    server.expect_log(LINK_LINES)
    wait_ready(server)
    assert is_loading(redis), "it was too fast for this test"
    works(server)
    redis.client.config_set("key-load-delay", 0)


def is_loading(redis):
    try:
        return redis.client.info("persistence")["loading"] == 1
    except redis_client.RedisError:
        return False


# Progress.

class Throttle:
    """A way to Redis that carries so many bytes a second, each way, of each connection."""

    def __init__(self, target):
        self.target, self.rate = target, None
        self.listener = socket.create_server(("127.0.0.1", free_port()))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for sock in self.sockets:
            sock.close()

    def _accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(self.target)
            self.sockets += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, sink):
        try:
            while data := source.recv(max(1, self.rate // 50) if self.rate else 65536):
                sink.sendall(data)
                if self.rate:
                    time.sleep(len(data) / self.rate)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_slow_subscription_is_not_given_up(own_redis, make_server):
    """Subscribing everybody takes longer than any answer may; but they come all the time."""
    users, rate = 1000, 20_000
    redis = own_redis().start()
    way = Throttle(redis.address)
    server = make_server(redis_server=redis, redis=f"redis://127.0.0.1:{way.port}/0", workers=1)
    server.expect_log(LINK_LINES)
    with server.swarm() as swarm:
        names = [f"user-with-a-long-name-{'x' * 30}-{number}" for number in range(users)]
        swarm.connect(server.address, names)
        way.rate = rate
        began = time.monotonic()
        redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        wait_for(lambda: server.log().count("event=redis_link_up") == 2, "the link to be back", 60)
        assert time.monotonic() - began > 6, "it was too fast for this test"
        assert downs(server) == 1
        assert server.subscribers(names[0]) == server.subscribers(names[-1]) == 1
        way.rate = None
    way.close()


# The wrong Redis.

def test_replica_is_not_used_until_it_is_the_primary(own_redis, make_server):
    primary, replica = own_redis().start(), own_redis().start()
    replica.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
    server = make_server(redis_server=replica, ready=False, workers=1)
    server.expect_log(LINK_LINES)
    assert not_ready(server) == (f"127.0.0.1:{replica.port}: it is a replica of "
                                 f"127.0.0.1:{primary.port} (set redis in push.conf to the primary)")
    assert server.admin.stats()["redis"] == not_ready(server)
    assert f"replica of 127.0.0.1:{primary.port}" in status(server)
    assert server.admin.counter("redis_connects_total") == 0
    assert downs(server) == 1, "reported once"
    replica.client.execute_command("REPLICAOF", "NO", "ONE")
    wait_ready(server)
    works(server)
    assert "redis" not in server.admin.stats()


def test_primary_that_becomes_a_replica_is_left(own_redis, linked):
    """A failover: the former primary does not announce the change."""
    server, other = linked(), own_redis().start()
    client = server.client("u")
    server.redis.client.execute_command("REPLICAOF", "127.0.0.1", other.port)
    not_ready(server, "it is a replica of")
    server.redis.client.execute_command("REPLICAOF", "NO", "ONE")
    wait_ready(server)
    assert client.recv_message(timeout=RECONNECT).op == GAP
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


def test_node_of_a_cluster_is_not_used(own_redis, make_server):
    redis = own_redis(arguments=["--cluster-enabled", "yes",
                                 "--cluster-port", str(free_port())]).start()
    server = make_server(redis_server=redis, ready=False, workers=1)
    server.expect_log(LINK_LINES)
    not_ready(server, "it is a node of a Cluster")


# Users and their rights.

def url_of(redis, user, password="secret"):
    return f"redis://{user}:{password}@127.0.0.1:{redis.port}/0"


def test_user_who_may_not_name_or_ask_is_served(own_redis, make_server):
    redis = own_redis().start()
    redis.client.execute_command("ACL", "SETUSER", "alice", "on", ">secret", "&*", "+subscribe",
                                 "+unsubscribe", "+publish", "+select")
    server = make_server(redis_server=redis, redis=url_of(redis, "alice"), workers=1)
    works(server)
    for command in ('"CLIENT SETNAME"', "ROLE", '"INFO cluster"'):
        assert f"event=redis_refused redis=127.0.0.1:{redis.port} command={command}" in server.log()


def test_user_who_may_not_subscribe_is_told(own_redis, make_server):
    redis = own_redis().start()
    redis.client.execute_command("ACL", "SETUSER", "alice", "on", ">secret", "resetchannels",
                                 "&other:*", "+@all")
    server = make_server(redis_server=redis, redis=url_of(redis, "alice"), ready=False)
    server.expect_log(LINK_LINES)
    why = not_ready(server)
    assert why.startswith(f"127.0.0.1:{redis.port}: NOPERM"), why
    assert "ACL SETUSER" in why


def test_wrong_password_is_told_everywhere(own_redis, make_server):
    redis = own_redis(password="right").start()
    server = make_server(redis_server=redis, redis=f"redis://:wrong@127.0.0.1:{redis.port}/0",
                         ready=False)
    server.expect_log(LINK_LINES)
    why = not_ready(server)
    assert why.startswith(f"127.0.0.1:{redis.port}: WRONGPASS "), why
    assert server.admin.stats()["redis"] == why
    assert why in status(server)
    for event in ("redis_link_down", "redis_commands_down"):
        assert f'event={event} redis=127.0.0.1:{redis.port} why="{why}"' in server.log()


def test_reason_of_a_refused_connection_is_told(own_redis, make_server):
    redis = own_redis()
    server = make_server(redis_server=redis, ready=False)
    server.expect_log(LINK_LINES)
    assert not_ready(server) == f"127.0.0.1:{redis.port}: Connection refused"


def test_too_many_clients_is_told(linked):
    server = linked(workers=1)
    server.redis.client.config_set("maxclients", 1)
    server.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    not_ready(server, "ERR max number of clients reached (raise maxclients of Redis)")
    server.redis.client.config_set("maxclients", 100)
    wait_ready(server)
    assert server.client("u")


def test_password_of_any_length(own_redis, make_server):
    password = "p" * 3000
    redis = own_redis().start()
    redis.client.execute_command("ACL", "SETUSER", "alice", "on", ">" + password, "&*", "+@all")
    works(make_server(redis_server=redis, redis=url_of(redis, "alice", password)))
