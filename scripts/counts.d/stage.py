"""The environment of the counts: a private Redis, a server, and its clients.

The clients are the swarm of the integration tests: plain sockets in this process, which read only
on demand.
"""

import contextlib
import tempfile
from pathlib import Path

from harness.client import encode_binary
from harness.redis_server import RedisServer
from harness.server import Server, opcode

OP = 110
ECHO = 100
PAYLOAD = b"a push of 32 bytes, not of JSON."
RAW = encode_binary(OP, PAYLOAD)
ENVELOPE = b'{"op":110,"data":{"from":"7","text":"hello, this is a push"}}'


class Stage:
    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="wspushd-counts.")
        self.directory = Path(self._directory.name)
        self.redis = RedisServer(self.directory).start()
        return self

    def __exit__(self, *_):
        self.redis.stop()
        self._directory.cleanup()

    @contextlib.contextmanager
    def node(self, workers, **config):
        """A server without other work: it pings no client meanwhile."""
        echo = opcode(ECHO, name="echo", to="echo")
        server = Server(self.directory, self.redis, opcodes=[echo], workers=workers,
                        max_connections=11000, heartbeat=600, prefix="push:", **config)
        try:
            yield Node(server.start())
            server.stop()
        finally:
            server.destroy()


class Node:
    """A running server, its clients, and rounds of pushes to them."""

    def __init__(self, server):
        self.server = server
        self.redis = server.redis
        self.workers = server.worker_pids()
        self.swarm = server.swarm()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.swarm.__exit__()

    def connect(self, users, **how):
        return self.swarm.connect(self.server.address, users, **how)

    def publish(self, channels, message, times=1):
        """PUBLISHes to each channel, `times` in a row, all in one write; returns the replies."""
        return self.redis.publish_many((f"push:{channel}", message)
                                       for channel in channels for _ in range(times))

    def receive(self, clients, each):
        """Waits until each client has received this many messages, and discards them."""
        self.swarm.pump(lambda: sum(len(c.frames) for c in clients) >= each * len(clients),
                        f"{each} messages for each of {len(clients)} clients")
        for client in clients:
            got = client.messages()
            assert len(got) == each, f"{len(got)} messages instead of {each}"

    def push(self, users, clients, message=RAW, times=1):
        """One round: pushes to the user of each client, and waits until each client has
        received."""
        replies = self.publish([f"user:{user}" for user in users], message, times)
        assert set(replies) == {1}, f"PUBLISH answered {set(replies)}"
        self.receive(clients, times)

    def broadcast(self, clients, message=RAW):
        self.publish(["all"], message)
        self.receive(clients, 1)
