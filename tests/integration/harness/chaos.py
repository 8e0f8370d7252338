"""Thousands of clients with exact bookkeeping, while all kinds of failures are inflicted on the server.

One thread does everything, so the order of a push and a client's HELLO is always known. It reads the
clients, publishes, connects and disconnects clients, and sends their requests. A table of events makes
it kill and stop workers, reload, upgrade to good and bad versions, and cut links to Redis. The sequence
follows from the seed.
"""

import json
import os
import random
import re
import select
import signal
import time

from .books import Ledger, Reader
from .build import install
from .client import ACCEPTED, ERROR, SUB, SUBBED, Client, encode_binary
from .frames import BINARY, CLOSE, close_payload, frame
from .process import children
from .wait import ROOT

REQUEST = 110
STREAM = "requests"
HANDSHAKE_S = 20
"""A client that is not let in within this time asks again."""

MOST_WORKERS = 5
"""That an event asks for."""

DEATHS = {"kill": 1, "stop": 1, "segv": 1, "botch": MOST_WORKERS}
"""Events after which the bytes in a worker's own memory are gone, and in how many workers at most."""


class Peer:
    """One client, from the start of its handshake."""

    serial = 0

    def __init__(self, chaos, user, topic):
        Peer.serial += 1
        self.number, self.user, self.topic = Peer.serial, user, topic
        self.client = Client(chaos.server.address)
        self.client.send_upgrade(user)
        self.fd = self.client.fileno()
        self.began = time.monotonic()
        self.reader = None        # set when HELLO arrives
        self.asked, self.accepted, self.refused = 0, [], 0
        self.named = None         # the connection's name, from HELLO

    def ask(self):
        self.asked += 1
        data = json.dumps({"peer": self.number, "n": self.asked}).encode()
        self.client.offer_bytes(frame(BINARY, encode_binary(REQUEST, data), key=b"abcd"))

    @property
    def unanswered(self):
        return self.asked - len(self.accepted) - self.refused


class Event:
    """A row of the table of events: the action, its frequency, and whether it is possible."""

    def __init__(self, name, weight, run):
        self.name, self.weight, self.run, self.count = name, weight, run, 0


def reloadable(key):
    """True if a key of push.conf can change without a restart, according to the table of keys."""
    text = (ROOT / "common" / "config_keys.h").read_text()
    row = re.search(rf"^ *\w+ *\({key},.*$", text, re.M)
    return bool(row) and re.search(r"\bRELOAD(_ONLY)?\b", row[0]) is not None


class Chaos:
    def __init__(self, server, *, programs, clients, seed, pushes, churn, requests, every, tell=print):
        """programs: the server, and a version that fails; pushes, churn, requests: rates per second;
        every: mean seconds between events."""
        self.programs = programs
        self.server, self.size, self.rng, self.tell = server, clients, random.Random(seed), tell
        self.rates = {"push": pushes, "churn": churn, "request": requests, "topic": 20, "all": 0.5}
        self.due = {name: 0.0 for name in self.rates}
        self.every = every
        self.ledger = Ledger(server)
        self.topics = [f"topic:room{n}" for n in range(max(4, clients // 50))]
        self.free = [f"u{n}" for n in range(clients + clients // 10)]
        self.rng.shuffle(self.free)
        self.peers = {}           # descriptor -> Peer
        self.open = []            # peers that have received HELLO
        self.poll = select.epoll()
        self.closed_by_server = 0
        self.turned_away = 0
        self.came = self.left = 0
        self.done = []            # accounts of closed connections
        self.received = self.doubled = self.gaps = 0
        self.seen_accepted = []   # (stream id, connection's name)
        self.unanswered = self.asked = 0
        self.faults = []
        self.events = [event for event in [
            Event("kill", 8, lambda: self.signal_worker(signal.SIGKILL)),
            Event("segv", 2, lambda: self.signal_worker(signal.SIGSEGV)),
            Event("stop", 1, lambda: self.signal_worker(signal.SIGSTOP)),
            Event("reload", 2, lambda: self.server.signal(signal.SIGHUP)),
            Event("upgrade", 2, lambda: self.upgrade(self.programs[0])),
            Event("botch", 1, lambda: self.upgrade(self.programs[1])),
            Event("link", 1, self.cut_link),
            Event("workers", 2 if reloadable("workers") else 0, lambda: self.resize(self.rng.randint(2, MOST_WORKERS))),
        ] if event.weight]

    # What happens to the server.

    def workers(self):
        """Returns the workers, without those of a new binary on trial."""
        out = []
        for pid in children(self.server.pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if b"-tc" not in file.read():
                        out.append(pid)
            except OSError:
                pass
        return out

    def signal_worker(self, number):
        workers = self.workers()
        if workers:
            os.kill(self.rng.choice(workers), number)

    def cut_link(self):
        links = [c for c in self.server.redis.client.client_list()
                 if c["name"].startswith("wspushd-")]
        if links:
            self.server.redis.client.client_kill_filter(_id=self.rng.choice(links)["id"])

    def upgrade(self, program):
        """Upgrades to a good version, or to one that fails after its trial and is rolled back."""
        install(self.server, program)
        self.server.signal(signal.SIGUSR2)

    def resize(self, workers):
        """Changes the number of workers."""
        self.server.config["workers"] = workers
        self.server.rewrite()
        self.server.signal(signal.SIGHUP)

    def event(self):
        event = self.rng.choices(self.events, [e.weight for e in self.events])[0]
        event.count += 1
        event.run()
        return event.name

    def deaths(self):
        return sum(event.count * DEATHS.get(event.name, 0) for event in self.events)

    # Clients.

    def connect(self):
        user = self.free.pop() if self.free else None
        if user is None:
            return
        topic = self.topics[int(user[1:]) % len(self.topics)]
        try:
            peer = Peer(self, user, topic)
        except OSError as error: # the listen queue is full while the workers are away
            self.free.insert(0, user)
            self.tell(f"connect: {error}")
            return
        self.peers[peer.fd] = peer
        self.poll.register(peer.fd, select.EPOLLIN)

    def forget(self, peer, reset=False):
        """Closes the connection and its account."""
        self.poll.unregister(peer.fd)
        del self.peers[peer.fd]
        if peer.reader:
            self.open.remove(peer)
            self.close_account(peer)
        if reset:
            peer.client.reset()
        peer.client.close()
        self.free.insert(0, peer.user)

    def close_account(self, peer):
        reader = peer.reader
        self.received += reader.received
        self.doubled += reader.doubled
        self.gaps += len(reader.gaps)
        self.asked += peer.asked
        self.unanswered += peer.unanswered
        self.seen_accepted += [(accepted, peer.named) for accepted in peer.accepted]
        self.faults += [f"{peer.user}: lost {hole}, and no GAP" for hole in reader.holes
                        if not self.may_be_excused(reader, hole)]

    @staticmethod
    def may_be_excused(_, hole):
        """True if the client left so soon after a hole that its GAP may not have arrived."""
        return time.monotonic() - hole.until < 10

    def leave(self, peer):
        """Disconnects a client: by a close frame, a FIN or a RST."""
        how = self.rng.randrange(3)
        peer.reader.take()
        if how == 0:
            peer.client.offer_bytes(frame(CLOSE, close_payload(1000)))
        self.left += 1
        self.forget(peer, reset=how == 1)

    def read(self, peer):
        client = peer.client
        try:
            client.pull()
        except AssertionError as fault:
            self.faults.append(f"{peer.user}: {fault}")
            self.forget(peer)
            return
        if peer.reader is None:
            self.greet(peer)
        if peer.reader:
            self.take(peer)
        if client.ended or (peer.reader and peer.reader.closed):
            self.ended(peer)

    def greet(self, peer):
        client = peer.client
        if client.response is not None and client.response.status != 101:
            client.ended = client.ended or "refused"
        elif client.frames and client.frames[0].opcode == BINARY:
            peer.named = client.expect_hello()["conn"]
            peer.reader = Reader(self.ledger, client, peer.user)
            self.open.append(peer)
            self.came += 1
            client.offer_bytes(frame(BINARY, encode_binary(SUB, json.dumps(
                {"topics": [peer.topic.removeprefix("topic:")]}).encode())))

    def ended(self, peer):
        if peer.reader:
            self.closed_by_server += 1
        else:
            self.turned_away += 1
        self.forget(peer)

    def take(self, peer):
        peer.reader.take()
        for message in peer.reader.others:
            if message.op == SUBBED:
                if not peer.reader.follows(peer.topic):
                    peer.reader.follow(peer.topic)
            elif message.op == ACCEPTED:
                peer.accepted.append(message.json()["id"])
            elif message.op == ERROR and message.json()["op"] == REQUEST:
                peer.refused += 1
            else:
                self.faults.append(f"{peer.user}: unexpected {message}")
        peer.reader.others.clear()

    # The load.

    def turns(self, seconds):
        """Returns how often each kind of load is due in this turn."""
        out = {}
        for name, rate in self.rates.items():
            self.due[name] += rate * seconds
            out[name] = int(self.due[name])
            self.due[name] -= out[name]
        return out

    def load(self, seconds):
        todo = self.turns(min(seconds, 0.2))
        if not self.open:
            return
        names = ["user:" + self.rng.choice(self.open).user for _ in range(todo["push"])]
        names += self.rng.choices(self.topics, k=todo["topic"])
        names += ["all"] * todo["all"]
        if names:
            self.ledger.publish(names)
        for _ in range(todo["request"]):
            self.rng.choice(self.open).ask()
        for _ in range(todo["churn"]):
            if len(self.open) > self.size // 2:
                self.leave(self.rng.choice(self.open))

    def fill(self, batch=40):
        for _ in range(min(batch, self.size - len(self.peers))):
            self.connect()

    def pump(self, timeout=0.01):
        for fd, _ in self.poll.poll(timeout):
            if fd in self.peers:
                self.read(self.peers[fd])

    def late(self):
        """Drops the clients that had no HELLO within HANDSHAKE_S."""
        now = time.monotonic()
        for peer in [p for p in self.peers.values()
                     if p.reader is None and now - p.began > HANDSHAKE_S]:
            self.turned_away += 1
            self.forget(peer)

    def until(self, done, what, timeout):
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                self.faults.append(f"waited {timeout} s in vain for {what}")
                return False
            self.pump()
            self.fill()
            self.late()
        return True

    def run(self, seconds):
        """Runs load and events for that many seconds."""
        began = last = time.monotonic()
        next_event = began + 1
        next_word = began
        while last - began < seconds:
            now = time.monotonic()
            self.load(now - last)
            last = now
            self.pump()
            self.fill()
            if now >= next_event:
                self.event()
                next_event = now + self.rng.expovariate(1 / self.every)
            if now >= next_word:
                self.late()
                self.say(now - began)
                next_word = now + 5

    def say(self, seconds):
        events = " ".join(f"{e.name}={e.count}" for e in self.events)
        pushes = sum(channel.next for channel in self.ledger.channels.values())
        self.tell(f"{seconds:6.0f} s  clients {len(self.open)}  came {self.came}  left {self.left}  "
                  f"pushes {pushes}  closed {self.closed_by_server}  {events}")

    # The end.

    def everybody(self):
        return len(self.open) == self.size and all(
            p.reader.follows(p.topic) for p in self.open)

    def calm(self):
        """Waits, without further events, until every client is connected and has received every push."""
        self.until(self.everybody, "everybody to be connected", 60)
        for peer in self.open:
            peer.asked_before = peer.unanswered
        names = ["user:" + peer.user for peer in self.open] + self.topics + ["all"]
        self.ledger.publish(names)
        self.until(lambda: all(p.reader.complete() or p.reader.closed for p in self.open),
                   "every push for everyone", 30)
        for peer in self.open:
            if not peer.reader.complete():
                self.faults.append(f"{peer.user}: lost {peer.reader.missing()}")

    def requests_are_answered(self):
        """Sends a request from every client and waits for the answers."""
        for peer in self.open:
            peer.settled = len(peer.accepted) + peer.refused
            peer.ask()
        self.until(lambda: all(len(p.accepted) + p.refused > p.settled for p in self.open),
                   "every request to be answered", 30)

    def close_books(self):
        for peer in list(self.open):
            self.close_account(peer)
            self.faults += [f"{peer.user}: lost {hole}, and no GAP"
                            for hole in peer.reader.holes if self.may_be_excused(None, hole)]

    def check_stream(self):
        """Checks the stream: no request twice or out of order, and every ACCEPTED one is there."""
        entries, by_conn = {}, {}
        for name, fields in self.server.redis.client.xrange(STREAM):
            data = json.loads(fields[b"data"])
            conn = fields[b"conn"].decode()
            entries[name.decode()] = conn
            by_conn.setdefault(conn, []).append(data["n"])
        for conn, numbers in by_conn.items():
            if numbers != sorted(set(numbers)):
                self.faults.append(f"requests of {conn} twice or out of order: {numbers}")
        for accepted, conn in self.seen_accepted:
            if entries.get(accepted) != conn:
                self.faults.append(f"ACCEPTED {accepted} of {conn} is not in the stream")
        return len(entries)
