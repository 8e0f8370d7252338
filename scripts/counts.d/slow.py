"""Clients that do not read.

Counts the memory of one such client, in the kernel and in the server: 16 get push after push until
the last is closed, and the highest value on the way counts. Also measures how long it takes until
such a client sees the close, from the PUBLISH that exceeded the last one's limit.

Then checks that slow clients do not delay others: a million pushes, as fast as Redis publishes them,
to users who do not read. Redis disconnects a subscriber with more than 32 MB of pending output
(client-output-buffer-limit pubsub), so the link must not have reconnected; and each push must be
accounted for at the end.
"""

import re
import select
import subprocess
import time

from harness import admin
from harness.client import encode_binary
from harness.process import cpu_us
from harness.redis_server import publish_command
from harness.wait import wait_for
from memory import proportional
from stage import OP


TITLE = "clients that do not read"

CLIENTS = 16
MEMORY_LIMIT, SECONDS_LIMIT = 512, 1        # KiB; until it sees the close
SIZES = (64, 1024)                          # bytes in a push
STUCK, FLOOD, FLOOD_SIZE = 100, 1_000_000, 64


def count(stage, table):
    for size in SIZES:
        with stage.node(1) as node, node:
            count_memory(table, node, size)
    for policy in ("close", "drop_oldest"):
        with stage.node(1, slow_policy=policy) as node, node:
            count_flood(stage, table, node, policy)


def kernel_bytes(server):
    """The kernel memory of the server's ends of all connections to clients."""
    listed = subprocess.run(["ss", "-tmnH", "state", "established",
                             f"( sport = :{server.address[1]} )"],
                            stdout=subprocess.PIPE, text=True, check=True).stdout
    fields = re.findall(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(\d+),w(\d+),o(\d+)", listed)
    return sum(int(number) for socket in fields for number in socket)


def seconds_to_see_the_end(clients, since):
    """Waits for the last client's close, which poll(2) reports as POLLHUP even if the client does
    not read."""
    poll = select.poll()
    for client in clients:
        poll.register(client.fileno(), 0)
    waiting = len(clients)
    while waiting:
        seen = poll.poll(5000)
        assert seen, "a client that does not read is not closed"
        for fd, _ in seen:
            poll.unregister(fd)
        waiting -= len(seen)
    return time.monotonic() - since


def count_memory(table, node, size):
    users = [str(i) for i in range(CLIENTS)]
    clients = node.connect(users)
    pids = [node.server.pid, *node.workers]
    message = encode_binary(OP, b"x" * size)
    channels = [f"user:{user}" for user in users]

    def memory():
        user = proportional(pids)
        return kernel_bytes(node.server) + user["Anon"] + user["Shmem"]

    def received():
        return node.server.admin.counter(admin.RECEIVED)

    before, most, published = memory(), 0, 0
    while True:     # the kernel's part differs by some bytes between them: one may have room for more
        began = time.monotonic()
        heard = sum(node.publish(channels, message, times=8192 // size))
        if heard == 0:
            break
        last, published = began, published + heard
        wait_for(lambda: received() >= published, "every push taken")
        most = max(most, memory() - before)
    table.row(f"KiB for each, in kernel and server, pushes of {size} bytes", MEMORY_LIMIT,
              most / CLIENTS / 1024)
    table.row("seconds until all have seen their end", SECONDS_LIMIT,
              seconds_to_see_the_end(clients, last), digits=2)


def flood(stage, node):
    """Publishes all pushes; returns the seconds that Redis took, and its largest pending output."""
    message = encode_binary(OP, b"x" * FLOOD_SIZE)
    path = stage.directory / "flood"
    with open(path, "wb") as file:
        for number in range(FLOOD):
            file.write(publish_command(b"push:user:%d" % (number % STUCK), message))
    began, waiting = time.monotonic(), 0
    with open(path, "rb") as file, subprocess.Popen(
            ["redis-cli", "-p", str(node.redis.port), "--pipe"], stdin=file,
            stdout=subprocess.DEVNULL) as publisher:
        while publisher.poll() is None:
            waiting = max([waiting, *(int(client["omem"]) for client
                                      in node.redis.client.client_list(_type="pubsub"))])
            time.sleep(0.01)
    path.unlink()
    assert publisher.returncode == 0
    return time.monotonic() - began, waiting


def count_flood(stage, table, node, policy):
    node.connect([str(user) for user in range(STUCK)])
    metrics = node.server.admin.metrics
    connects, cpu = metrics().total("redis_connects_total"), sum(map(cpu_us, node.workers))
    seconds, waiting = flood(stage, node)
    still = Still()
    wait_for(lambda: still(metrics().total(admin.RECEIVED)), "the last push to be taken")
    cpu = sum(map(cpu_us, node.workers)) - cpu
    node.swarm.__exit__()
    node.server.wait_connections(0)
    end = metrics()
    taken = end.total(admin.RECEIVED)
    known = end.total(admin.DELIVERED) + end.total(admin.DROPPED)
    table.row(f"{policy}: links to Redis that were lost", 0,
              end.total("redis_connects_total") - connects)
    table.row(f"{policy}: pushes taken and not in the books", 0, abs(taken - known))
    table.note(f"{taken:,.0f} taken of {FLOOD:,} published in {seconds:.1f} s "
               f"({FLOOD / seconds:,.0f} a second); {cpu / taken:.2f} us of a worker's CPU "
               f"for each; at most {waiting / 1e6:.1f} MB waited at Redis")


class Still:
    """True if a number has not changed for half a second."""

    def __init__(self):
        self._number, self._since = None, 0

    def __call__(self, number):
        now = time.monotonic()
        if number != self._number:
            self._number, self._since = number, now
        return now - self._since >= 0.5
