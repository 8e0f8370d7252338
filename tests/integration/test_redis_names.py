"""Redis by host name: names resolve as getaddrinfo(3) does, and every address is tried."""

import os
import signal
import socket
import time

import pytest

from harness.names import DnsServer, Names
from harness.process import children
from harness.wait import SLACK, wait_for

NAME = "redis.example.test"
LINK_LINES = r"(?i)redis|link"


@pytest.fixture
def names(tmp_path):
    return Names(tmp_path)


@pytest.fixture
def make_dns():
    made = []

    def make(**options):
        made.append(DnsServer(**options))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def named(own_redis, make_server, names):
    """named(): a server that finds its Redis by name, launched and not awaited."""
    def make(redis=None, **config):
        redis = redis or own_redis().start()
        config.setdefault("workers", 1)
        server = make_server(start=False, redis_server=redis,
                             redis=f"redis://{NAME}:{redis.port}/0", **config)
        server.expect_log(LINK_LINES)
        server.launch(command=names.command(server.binary))
        wait_for(lambda: server.admin.status("/healthz") == 200, "/healthz")
        return server
    return make


def wait_ready(server, timeout=10 * SLACK):
    wait_for(server.admin.ready, "/readyz 200", timeout, interval=0.02)


def works(server):
    client = server.client("u")
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1
    return client


def subscribers(server):
    """Redis's clients that are subscribed to anything."""
    return [entry for entry in server.redis.client.client_list() if int(entry["sub"])]


# Where names come from.

def works_after_ready(server):
    wait_ready(server)
    return works(server)


def test_name_of_the_hosts_file_without_a_name_server(named, names):
    names.hosts(f"127.0.0.1 {NAME}")
    works_after_ready(named())


def test_second_name_server_answers_while_the_first_is_silent(named, names, make_dns):
    silent = make_dns(silent=True)
    names.resolv(silent, make_dns(addresses={NAME: ["127.0.0.1"]}))
    server = named()
    works_after_ready(server)
    assert silent.queries


def test_name_that_does_not_exist_is_told(named, names, make_dns):
    names.resolv(make_dns())
    server = named()
    wait_for(lambda: f"looking up {NAME}: Name or service not known" in server.log(), "the reason")
    assert server.admin.status("/readyz") == 503


def test_name_that_comes_into_being_is_found(named, names, make_dns):
    dns = make_dns()
    names.resolv(dns)
    server = named()
    wait_for(lambda: "redis_link_down" in server.log(), "a failed look-up")
    dns.addresses[NAME] = ["127.0.0.1"]
    works_after_ready(server)


def test_name_that_moves_is_followed(named, names, make_dns, own_redis):
    dns = make_dns(addresses={NAME: ["127.0.0.1"]})
    names.resolv(dns)
    server = named()
    works_after_ready(server)
    moved = own_redis(host="127.0.0.9", port=server.redis.port)
    dns.addresses[NAME] = [moved.host]
    server.redis.kill()
    server.redis = moved.start()
    works_after_ready(server)


# Every address.

@pytest.mark.parametrize("first", ["::1", "127.0.0.1"])
def test_address_that_refuses_is_not_the_last(named, names, own_redis, first):
    """Redis listens on the second address only, by the order of RFC 6724."""
    names.hosts(f"{first} {NAME}", f"127.0.0.9 {NAME}")
    works_after_ready(named(own_redis(host="127.0.0.9").start()))


def test_second_address_of_the_name_server_is_tried(named, names, make_dns, own_redis):
    names.resolv(make_dns(addresses={NAME: ["127.0.0.1", "127.0.0.9"]}))
    works_after_ready(named(own_redis(host="127.0.0.9").start()))


def test_address_that_does_not_answer_delays_the_next_by_a_moment(named, names, own_redis):
    """A listener whose queue is full drops SYNs, as a firewall does."""
    redis = own_redis().start()
    with socket.socket(socket.AF_INET6) as listener:
        listener.bind(("::1", redis.port))
        listener.listen(0)
        queue = [socket.socket(socket.AF_INET6) for _ in range(4)]
        for sock in queue:
            sock.setblocking(False)
            sock.connect_ex(("::1", redis.port))
        names.hosts(f"::1 {NAME}", f"127.0.0.1 {NAME}")
        began = time.monotonic()
        server = named(redis)
        works_after_ready(server)
        assert time.monotonic() - began < 4 * SLACK, "well before the first connect has timed out"
        assert len(subscribers(server)) == 1
        for sock in queue:
            sock.close()


def test_every_address_that_failed_is_told(named, names, own_redis):
    names.hosts(f"::1 {NAME}", f"127.0.0.1 {NAME}")
    redis = own_redis()
    server = named(redis)
    wait_for(lambda: f"[::1]:{redis.port}: Connection refused; "
                     f"127.0.0.1:{redis.port}: Connection refused" in server.log(), "both addresses")
    redis.start()
    works_after_ready(server)


# Look-ups that take long.

def test_slow_look_up_makes_one_link(named, names, make_dns):
    """The link is cut while the DNS server is away for longer than any step of a connect may take:
    afterwards there is one link, every push comes once, and it stays so when it is cut again."""
    dns = make_dns(addresses={NAME: ["127.0.0.1"]})
    names.resolv(dns, options="timeout:1 attempts:30")
    server = named()
    client = works_after_ready(server)
    dns.silent = True
    asked = len(dns.queries)
    server.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_for(lambda: len(dns.queries) >= asked + 6 * 2, "six seconds of look-up", 20 * SLACK)
    dns.silent = False
    for data in range(3):
        wait_ready(server)
        assert len(subscribers(server)) == 1
        assert client.recv_message().op == 9, "GAP"
        assert server.push("u", 110, data=data) == 1
        assert client.recv_message().json() == data
        client.expect_silence()
        if data < 2:
            connects = server.admin.counter("redis_connects_total")
            server.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            wait_for(lambda: server.admin.counter("redis_connects_total") > connects, "a new link")
    assert server.log().count("redis_link_down") < 10


def look_ups(server):
    return [pid for worker in server.worker_pids() for pid in children(worker)]


def test_look_up_dies_with_its_worker_and_leaves_nothing(named, names, make_dns):
    dns = make_dns(addresses={NAME: ["127.0.0.1"]})
    names.resolv(dns, options="timeout:5 attempts:5")
    server = named()
    server.workers_may_change = True
    server.expect_log("worker|died|killed|signal")
    works_after_ready(server)
    wait_for(lambda: not look_ups(server), "the first look-ups to end")
    dns.silent = True
    server.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    before = wait_for(lambda: look_ups(server), "a look-up")
    server.kill_worker(server.admin.workers()[0])
    wait_for(lambda: not any(is_running(pid) for pid in before), "the look-up to die")
    wait_for(lambda: look_ups(server), "the successor's")
    wait_for(lambda: pidfds(server) == 1 + len(look_ups(server)), "the master's and its own to be all")


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pidfds(server):
    """How many descriptors of that kind the processes of a server share."""
    directory = f"/proc/{server.pid}/fd"
    links = [os.readlink(f"{directory}/{name}") for name in os.listdir(directory)]
    return links.count("anon_inode:[pidfd]")


def test_audit_leaves_a_living_look_up_alone(named, names, make_dns):
    """A death while another worker looks the name up: nothing of that is taken for left over."""
    dns = make_dns(addresses={NAME: ["127.0.0.1"]})
    names.resolv(dns, options="timeout:3 attempts:5")
    server = named(workers=2, log_level="debug")
    server.workers_may_change = True
    server.expect_log("worker|died|killed|signal")
    works_after_ready(server)
    wait_for(lambda: not look_ups(server), "the first look-ups to end")
    dns.silent = True
    server.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_for(lambda: len(look_ups(server)) == 2, "a look-up of each worker")
    server.kill_worker(server.admin.workers()[1])
    wait_for(lambda: "event=audited" in server.log(), "the audit", 15 * SLACK)
    assert "descriptor_reclaimed" not in server.log()
    assert "descriptor_unknown" not in server.log()
    dns.silent = False
    works_after_ready(server)
