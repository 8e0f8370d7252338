"""Publishes numbered pushes in the background, and checks that all of them arrived."""

import threading


class Publisher(threading.Thread):
    """Publishes rounds of numbered pushes to some users or topics until finish() is called.

    rounds: the number of rounds so far; unheard: the number of pushes without a subscriber.
    """

    def __init__(self, server, names, kind="user"):
        super().__init__(daemon=True)
        self.server, self.kind, self.names = server, kind, list(names)
        self.rounds, self.unheard, self.failure = 0, 0, None
        self._stop_asked = threading.Event()

    def run(self):
        try:
            while not self._stop_asked.wait(0.01):
                replies = self.server.redis.publish_many(
                    (self.server.channel(f"{self.kind}:{name}"),
                     b"\0\0\0\x6e%s %d" % (name.encode(), self.rounds)) for name in self.names)
                self.unheard += replies.count(0)
                self.rounds += 1
        except BaseException as failure:
            self.failure = failure

    def finish(self):
        """Stops, and returns the number of rounds."""
        self._stop_asked.set()
        self.join(30)
        assert self.failure is None, self.failure
        return self.rounds


def last_number(client):
    """Returns the number, as text, of the last push that a client has pulled, or None."""
    return client.frames[-1].payload.rsplit(b" ", 1)[1] if client.frames else None


def pull_all(swarm, clients, rounds):
    """Reads until every client has the push of the last round."""
    end = b"%d" % (rounds - 1)

    def behind():
        return [client for client in clients if last_number(client) != end]

    swarm.pump(lambda: not behind(), lambda: f"push {rounds - 1}; behind are " + ", ".join(
        f"{client.hello['user']} {client.frames[-1:]} {client.ended} {client.fault}"
        for client in behind()))


def check_received(clients, rounds, topics=None):
    """Checks that each client has pulled every push to its user (or to these topics) in order, apart
    from duplicates of earlier ones. Returns the number of duplicates."""
    repeats = 0
    for client in clients:
        assert client.ended is None and client.fault is None
        got = {name: [] for name in topics or [client.hello["user"]]}
        for message in client.messages():
            assert message.op == 110, f"{message} although no push was missed"
            name, number = message.payload.decode().rsplit(" ", 1)
            got[name].append(int(number))
        for numbers in got.values():
            fresh = list(dict.fromkeys(numbers))
            assert fresh == list(range(rounds)), "a push lost or out of order"
            repeats += len(numbers) - len(fresh)
    return repeats
