"""A worker dies at every point between two writes to shared memory; nothing is lost, nothing leaks.

Needs `make killpoints`. One server goes through all points of common/killpoint.h. First it runs every step
of the load once to see which points the step passes. Then it arms each point and runs a step that passes
it. Afterwards no push may be lost, out of order, or duplicated unless it was in hand; only clients that
are counted may be closed; shared memory must be consistent, and the subscriptions exact.
"""

import json
import os
import random
import signal
import time

import pytest

from harness import admin
from harness.books import Ledger, Reader
from harness.client import PING, PONG, SUB, SUBBED, UNSUB, UNSUBBED, Client, Closed, encode_binary
from harness.frames import BINARY, frame
from harness.frames import PING as PING_FRAME
from harness.http import upgrade_head
from harness.inspect import inspect
from harness.killpoints import BINARY as KILLABLE
from harness.killpoints import Killpoints, names
from harness.process import age, alive
from harness.redis_server import Script
from harness.server import opcode, write_conf
from harness.wait import SANITIZED, SLACK, WSPUSHD, wait_for

WORKERS = 3
CLIENTS = 60
TOPICS = 4
STREAM = "requests"
SHORT = 0.5 * SLACK
"""How long a handshake may take before the client asks again: its worker may have died."""

CHAIN = {
    "USERS_REBUILDING": "USERS_HEAD",
    "USERS_GROWING": "USERS_HEAD",
    "TOPICS_REBUILDING": "MEMBER_PUBLISHED",
    "STREAM_RECOVERING": "REWIND_STARTED",
    "ORPHAN_TOLD": "GIVEN",
}
"""Points that are only passed after a death at another."""

SEED = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
TRIES = int(os.environ.get("KILLPOINT_TRIES", 1 if SANITIZED else 2))
"""How many of the steps that pass a point are tried; `make soak` tries all."""

ROUNDS = 4
"""How often a step is tried that passes a point only by chance."""

STARTING = {"AUX_INODE"}
"""Passed by each admin request, too; but then it is the test that waits for an answer."""

ASKING = {"INTEREST_ASKED", "INTEREST_TOLD", "COMMAND_WRITTEN", "LINK_SENDING", "LINK_SENT"}
"""Passed between the wish for a topic and its subscription."""

TWICE = 25
"""A point that a step passes so often is tried at the first pass and at a later one."""


class Load:
    """The server, its steady clients and what they may ask of it."""

    def __init__(self, server, points, swarm):
        self.server, self.points, self.swarm = server, points, swarm
        # The worker that has accepted a request may die before it answers.
        self.admin = admin.Admin(server.admin.address, timeout=2 * SLACK)
        self.ledger = Ledger(server)
        self.users = [f"u{n}" for n in range(CLIENTS)]
        self.readers = {}
        self.connects = WORKERS
        self.lost = 0             # steady clients that the server has closed
        self.fresh = 0
        self.account = []

    # Clients.

    def handshake(self, user, patience=20, **options):
        """A client with HELLO, however often it has to ask."""
        for _ in range(patience):
            client = Client(self.server.address, **options)
            try:
                client.send_upgrade(user)
                if client.recv_response(SHORT).status == 101:
                    client.hello = client.recv_message(4 * SHORT).json()
                    return client
            except (Closed, AssertionError, OSError):
                pass
            client.close()
        raise AssertionError(f"{user} cannot connect")

    def settle(self):
        """Every user has its client, every client its topics."""
        for number, user in enumerate(self.users):
            reader = self.readers.get(user)
            if reader and reader.closed:
                self.lost += 1
                self.drop(user)
            if user not in self.readers:
                self.readers[user] = Reader(self.ledger, self.handshake(user), user)
                self.swarm.add(self.readers[user].client)
            if not self.readers[user].follows(self.topic(number)):
                self.enter(user, self.topic(number))

    def topic(self, number):
        return f"topic:t{number % TOPICS}"

    def drop(self, user):
        reader = self.readers.pop(user)
        self.swarm.remove(reader.client)
        reader.client.close()

    def pump(self, done, what, timeout=5 * SLACK):
        def look():
            for reader in self.readers.values():
                reader.take()
            return done()
        self.swarm.pump(look, what, timeout)

    def ask(self, user, op, topic, answer):
        """SUB or UNSUB. Returns whether the answer came, rather than the end of the connection."""
        reader = self.readers[user]
        reader.others.clear()
        reader.client.offer_bytes(frame(BINARY, encode_binary(
            op, json.dumps({"topics": [topic.removeprefix("topic:")]}).encode())))
        self.pump(lambda: reader.closed or any(m.op == answer for m in reader.others),
                  f"{topic}: the answer to {op}")
        return not reader.closed

    def enter(self, user, topic):
        if self.ask(user, SUB, topic, SUBBED):
            self.readers[user].follow(topic)

    def quit(self, user, topic):
        self.readers[user].unfollow(topic)
        self.ask(user, UNSUB, topic, UNSUBBED)

    # Steps.

    def all_channels(self):
        return [*("user:" + user for user in self.users), "all",
                *(self.topic(n) for n in range(TOPICS))]

    def push(self):
        for _ in range(3):
            self.ledger.publish(self.all_channels())

    def connect(self):
        self.fresh += 1
        for number in range(4):
            client = self.handshake(f"fresh{self.fresh}.{number}")
            client.close()
        second = self.handshake(self.users[self.fresh % CLIENTS])
        second.send_close()
        second.close()
        first, *others = [self.handshake(f"trio{self.fresh}") for _ in range(3)]
        first.send_close()  # one that the others do not follow leaves first, and then one that leads
        first.drain(5 * SLACK)
        for client in (first, *others):
            client.close()

    def crowd(self):
        """So many that the index grows."""
        clients = [Client(self.server.address) for _ in range(60)]
        for number, client in enumerate(clients):
            client.send_upgrade(f"crowd{number}")
        for client in clients:
            try:
                client.recv_response(SHORT)
                client.recv_message(SHORT)
            except (Closed, AssertionError, OSError):
                pass
            client.close()

    def topics(self):
        self.fresh += 1
        for user in self.users[self.fresh % 9::20]:
            self.enter(user, f"topic:new{self.fresh}")
            if not self.readers[user].closed:
                self.quit(user, f"topic:new{self.fresh}")

    def topics_by_backend(self):
        self.fresh += 1
        for user in self.users[:6]:
            self.server.publish("ctl", {"sub": user, "topics": [f"by{self.fresh}"]})
        for user in self.users[:6]:
            self.pump(lambda: self.readers[user].closed or
                      any(m.op == SUBBED for m in self.readers[user].others), "SUBBED for " + user)
            self.readers[user].others.clear()
            self.server.publish("ctl", {"unsub": user, "topics": [f"by{self.fresh}"]})

    def requests(self):
        for user in self.users[::6]:
            client = self.readers[user].client
            client.offer_bytes(frame(BINARY, encode_binary(100, b"echo")) +
                               frame(BINARY, encode_binary(110, b'"to the stream"')) +
                               frame(BINARY, encode_binary(PING, b"half"))[:9])
        self.swarm.pump_for(0.02)
        for user in self.users[::6]:
            client = self.readers[user].client
            client.offer_bytes(b"")
            self.finish_half(user)

    def finish_half(self, user):
        whole = frame(BINARY, encode_binary(PING, b"half"), key=b"\0\0\0\0")
        reader = self.readers[user]
        if not reader.closed:
            reader.client.offer_bytes(whole[9:])

    def kick(self):
        self.fresh += 1
        for number in range(3):
            user = f"kick{self.fresh}.{number}"
            client = self.handshake(user)
            self.server.publish("ctl", {"kick": user, "reason": "by the test"})
            client.drain(5 * SLACK)
            client.close()

    def slow(self):
        """A client that reads late, so that the kernel takes only a part."""
        self.fresh += 1
        user = f"slow{self.fresh}"
        client = self.handshake(user, receive_buffer=4096)
        number = 0
        while number < 60:
            self.server.redis.publish_many((self.server.channel("user:" + user),
                                            b"\0\0\0\xc9%08d" % n + b"s" * 2000)
                                           for n in range(number, number + 20))
            number += 20
        self.wait_routed()
        got = []
        try:
            while not got or got[-1] < number - 1:
                message = client.recv_message(5 * SLACK)
                if message.op == 201:
                    got.append(int(message.payload[:8]))
                    assert message.payload[8:] == b"s" * 2000, "a torn message"
        except Closed as closed:
            assert closed.code in (None, 1012), closed
            self.lost += 1
        client.close()
        fresh = list(dict.fromkeys(got))
        assert fresh == list(range(len(fresh))), "a push to a slow client lost or out of order"

    def wait_routed(self):
        wait_for(lambda: inspect(self.server)["in_bytes"] == 0, "every push to be routed")

    def reload(self):
        self.settle()
        self.fresh += 1
        user = f"parcel{self.fresh}"
        client = self.handshake(user, receive_buffer=4096)
        half = frame(BINARY, encode_binary(PING, b"half of it"))
        client.send_bytes(half[:9])
        self.server.redis.publish_many((self.server.channel("user:" + user), b"\0\0\0\xc9" + b"p" * 3000)
                                       for _ in range(30))
        before = set(self.server.worker_pids())
        self.server.signal(signal.SIGHUP)
        wait_for(lambda: len(self.server.worker_pids()) == WORKERS and
                 not before & set(self.server.worker_pids()), "new workers")
        client.offer_bytes(half[9:])
        messages, code = [], None
        try:
            while sorted({m.op for m in messages}) != [PONG, 201] or len(messages) < 31:
                messages.append(client.recv_message(5 * SLACK))
        except Closed as closed:
            assert closed.code in (None, 1012), closed
            self.lost += 1
        client.close()

    def resize(self):
        """Fewer workers, more of them, and as many as before; pushes go on."""
        self.settle()
        for number in (WORKERS - 1, WORKERS + 1, WORKERS):
            moved = self.server.log().count("event=moved ")
            self.server.config["workers"] = number
            write_conf(self.server.conf_path, self.server.config, self.server.opcodes)
            self.server.signal(signal.SIGHUP)
            self.ledger.publish(self.all_channels())
            wait_for(lambda: self.server.log().count("event=moved ") == moved + 1,
                     f"{number} workers")
        wait_for(lambda: len(self.server.worker_pids()) == WORKERS, "the workers")
        self.connects = None      # slots that come into use connect, perhaps twice if one dies

    def kill(self):
        self.fresh += 1
        victim = self.server.worker_pids()[self.fresh % WORKERS]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: not alive(victim), "the worker to die")

    def link(self):
        """Redis drops a link; all channels are subscribed again, and the clients get GAP."""
        self.fresh += 1
        links = [c for c in self.server.redis.client.client_list()
                 if c["name"].startswith("wspushd-") and c["name"].endswith(f"-{self.fresh % WORKERS}")]
        before = self.metric("redis_connects_total")
        for one in links:
            self.server.redis.client.client_kill_filter(_id=one["id"])
        self.ledger.publish(self.all_channels()) # some to nobody: holes that a GAP must speak of
        wait_for(lambda: self.metric("redis_connects_total") > before, "another connection")
        self.wait_ready()

    def busy(self):
        """Redis refuses commands for a while, and a client connects meanwhile."""
        self.fresh += 1
        client = Client(self.server.address)
        script = Script(self.server.redis)
        try:
            client.send_upgrade(f"busy{self.fresh}")
            client.recv_response()
            client.expect_silence()
        finally:
            script.end()
        try:
            client.recv_message(5 * SLACK)
        except Closed as closed:
            assert closed.code in (None, 1012), closed
        client.close()
        self.connects = None      # if the worker dies, its successor makes the link again

    def empty(self):
        """The node's last user leaves, and somebody comes again."""
        for user in self.users:
            if user in self.readers:
                self.drop(user)
        wait_for(lambda: self.server.publish("all", b"\0\0\0\xcanobody") == 0, "no connection to be left",
                 5 * SLACK)

    def full(self):
        """A worker does not read its rings until they are full."""
        victim = self.admin.workers()[WORKERS - 1]["pid"]
        os.kill(victim, signal.SIGSTOP)
        try:
            for _ in range(2):
                self.server.redis.publish_many(
                    (self.server.channel("users"),
                     json.dumps({"op": 202, "users": ["nobody"], "text": "f" * 15000}))
                    for _ in range(24))
            wait_for(lambda: inspect(self.server)["ring_bytes"] > 400000, "the ring to be full")
        finally:
            if alive(victim):
                os.kill(victim, signal.SIGCONT)
        self.wait_ready()

    CHEAP = [push, connect, topics, topics_by_backend, requests, kick, slow, link]
    STEPS = [push, connect, topics, topics_by_backend, requests, kick, slow, reload, resize, kill, link,
             busy, empty, full, crowd]

    # Checks.

    def metric(self, name):
        try:
            return self.admin.counter(name)
        except (OSError, AssertionError): # the worker that was to answer has died
            return 0

    def restarts(self):
        """Deaths so far. The sum, for workers() leaves out the slots that a resize has given back, and
        who dies on the way from four workers to three may have had one of those."""
        def answer():
            try:
                return [self.admin.stats()["worker_restarts"]]
            except (OSError, AssertionError): # the worker that was to answer has died
                return None
        return wait_for(answer, "the number of deaths")[0]

    def wait_ready(self):
        """All workers live, their links are up."""
        def ready():
            try:
                workers = self.admin.workers()
            except (OSError, AssertionError):
                return False
            return all(w["pid"] and alive(w["pid"]) and w["link"] == "up" for w in workers) and \
                self.admin.ready()
        wait_for(ready, "every worker's link to be up")

    def channels(self):
        prefix = self.server.config["prefix"]
        found = self.server.redis.client.pubsub_channels(prefix + "*")
        return {name.decode()[len(prefix):] for name in found} - {"ctl"}

    def expected_channels(self):
        return {"user:" + user for user in self.users} | {"all", "users"} | \
            {self.topic(n) for n in range(TOPICS)}

    def for_clients(self):
        """But for those by which nodes and workers talk to themselves."""
        return {name for name in self.channels() if not name.startswith(("probe:", "report:"))}

    def publish_and_pump(self):
        """One more push on every channel; returns whether everybody is still there who was."""
        self.settle()
        self.ledger.publish(self.all_channels())
        try:
            self.pump(lambda: all(r.complete() or r.closed for r in self.readers.values()),
                      "every push for everyone")
        except AssertionError:
            missing = {u: r.missing() for u, r in self.readers.items() if r.missing()}
            raise AssertionError(f"lost: {missing}") from None
        return not any(r.closed for r in self.readers.values())

    def check(self, step):
        turns = self.admin.counter("turns_total")
        while not self.publish_and_pump():
            pass # a client was closed as dirty, and comes again
        doubled = {user: r.doubled for user, r in self.readers.items() if r.doubled}
        assert not doubled, f"twice, although the kernel counts what it took: {doubled}"
        holes = {user: r.holes for user, r in self.readers.items() if r.holes}
        assert not holes, f"lost: {holes}"
        wait_for(lambda: self.for_clients() == self.expected_channels(),
                 f"the right subscriptions, not {self.for_clients() ^ self.expected_channels()}",
                 5 * SLACK)
        seen = wait_for(self.quiet, "only the test's clients", 5 * SLACK)
        assert seen["faults"] == [], seen
        metrics = self.admin.metrics()
        assert metrics.total("turns_total") - turns < 5000, "a worker is in a busy loop"
        connects = metrics.total("redis_connects_total")
        if step not in (Load.link, Load.busy):
            assert self.connects in (None, connects), "a link to Redis was lost with a worker"
        self.connects = connects
        closed = metrics.by_label(admin.CLOSED, "reason")
        assert self.lost <= closed["dirty"], f"{self.lost} clients were closed; counted: {closed}"

    def quiet(self):
        """What is in shared memory, once it has the clients' records alone."""
        seen = inspect(self.server)
        alone = seen["open"] == CLIENTS and seen["subscribing"] == seen["moving"] == 0
        return seen if alone or seen["faults"] else None


@pytest.fixture
def make_killable(make_server, tmp_path_factory):
    """Makes a server whose workers may be made to die, and its kill points."""
    def make(log=r"worker|died|killed|signal", **config):
        points = Killpoints(tmp_path_factory.mktemp("points") / "points")
        server = make_server(start=False, **config)
        server.binary = KILLABLE
        server.start(env={"WSPUSHD_KILLPOINTS": str(points.path)})
        server.expect_log(log)
        server.workers_may_change = True
        return server, points

    assert KILLABLE.exists(), "run make killpoints first"
    return make


@pytest.fixture
def make_load(make_killable, redis):
    """Makes a server with the load's clients; it finds Redis by name, so that it looks it up."""
    swarms = []

    def make():
        server, points = make_killable(
            redis=f"redis://localhost:{redis.port}/0", workers=WORKERS, topics=["*"], max_push=16384,
            watchdog=20, max_connections=2000, send_buffer=16384, max_per_address=1000, heartbeat=300, trusted_proxies=[],
            opcodes=[opcode(100, name="echo", to="echo"),
                     opcode(110, name="ask", to="stream:" + STREAM)])
        swarms.append(server.swarm())
        load = Load(server, points, swarms[-1])
        load.settle()
        return load

    yield make
    for swarm in swarms:
        swarm.__exit__()


def survey(load):
    """Which steps pass which points: {name: [(step, passes)]}."""
    found = {name: [] for name in load.points.index}
    for step in Load.STEPS:
        before = {name: load.points.passes(name) for name in found}
        step(load)
        load.wait_ready()
        load.settle()
        for name in found:
            passes = load.points.passes(name) - before[name]
            if passes:
                found[name].append((step, passes))
        load.check(step)
    return found


def wait_of_age(server):
    """A worker that dies younger is replaced later each time."""
    wait_for(lambda: all(age(pid) > 0.13 for pid in server.worker_pids()), "workers that are old enough")


def die_at(load, name, step, nth):
    """Does the step with the point armed. Returns whether a worker died there."""
    wait_of_age(load.server)
    restarts = load.restarts()
    if name in CHAIN:
        load.points.arm(CHAIN[name])
    load.points.arm(name, nth)
    step(load)
    load.wait_ready()
    load.settle()
    load.wait_ready()
    died = load.points.armed(name) == 0
    for point in (name, CHAIN.get(name, name)):
        load.points.arm(point, 0)
    if died:
        wait_for(lambda: load.restarts() > restarts, "the death to be counted")
        load.wait_ready()
    return died


def plan(rng, found, only_in_start=False):
    """Returns the trials for a point that these steps pass: [(step, nth pass)]."""
    cheap = [one for one in found if one[0] in Load.CHEAP]
    out = []
    if only_in_start:
        found = [one for one in found if one[0] is Load.reload]
    for step, passes in (cheap if cheap and not only_in_start else found):
        out.append((step, 1))
        if passes >= TWICE:
            out.append((step, passes // 2))
    rng.shuffle(out)
    return out if TRIES > 2 else out * ROUNDS


def try_point(load, name, step, nth):
    """Returns whether a worker died at the point, and the fault found afterwards or None."""
    died = False
    try:
        died = die_at(load, name, step, nth)
        load.check(step)
    except AssertionError as fault:
        return died, str(fault)[:2000]
    return died, None


@pytest.mark.timeout(300 * SLACK)
def test_worker_may_die_at_every_point(make_load):
    load = make_load()
    steps, rng = survey(load), random.Random(SEED)
    faults = []
    only = os.environ.get("KILLPOINT", ",".join(names())).split(",")
    print(f"\nseed {SEED}")
    for name in only:
        deaths = 0
        for step, nth in plan(rng, steps[name] or steps[CHAIN.get(name, name)], name in STARTING):
            if deaths == TRIES:
                break
            died, fault = try_point(load, name, step, nth)
            deaths += died
            print(f"{name:20} {step.__name__:18} {nth:5} {'died' if died else '-':5}{fault or ''}",
                  load.server.log_path if fault else "", flush=True)
            if fault:
                faults.append((name, step.__name__, nth, fault, str(load.server.log_path)))
                load = make_load()
        if deaths == 0:
            faults.append((name, "no worker ever dies there"))
    assert not faults, "\n".join(map(str, faults))


def test_a_topic_that_is_left_right_behind_a_death_is_given_up(make_killable):
    """A worker dies while it asks for a topic, and before its successor has looked at the topic nobody
    is in it any more. What was asked for must be given up all the same."""
    server, points = make_killable(workers=WORKERS, topics=["*"])
    users = [f"u{number}" for number in range(4 * WORKERS)]
    for user in users:
        server.client(user)

    def tell(what, topic):
        server.redis.publish_many((server.channel("ctl"), json.dumps({what: user, "topics": [topic]}))
                                  for user in users[::2])

    def subscribed():
        return server.redis.client.pubsub_channels(server.channel("topic:*"))

    def step(topic, point=None, pause=0.01):
        wait_of_age(server)
        if point:
            points.arm(point)
        tell("sub", topic)
        time.sleep(pause) # a worker reads one without the other, and its successor reads both
        tell("unsub", topic)
        wait_for(lambda: not subscribed(), f"nothing subscribed after {point}")
        if point:
            points.arm(point, 0)

    before = {name: points.passes(name) for name in points.index}
    step("by0")
    passed = [name for name in points.index if points.passes(name) > before[name]]
    assert "INTEREST_ASKED" in passed and "COMMAND_WRITTEN" in passed
    tries = [(point, n) for point in passed for n in range(12 if point in ASKING else 1)]
    for point, n in tries:
        step(f"by{n}{point}", point, n % 3 / 1000)
    assert server.admin.counter("worker_restarts") > len(tries) / 3


@pytest.mark.parametrize("point", ["LEAVE_GONE", "LEFT"])
@pytest.mark.parametrize("gathered", ["nothing", "a subscription"])
def test_a_user_who_left_right_before_a_death_is_offline(make_killable, gathered, point):
    """The worker dies in the turn in which alice's last connection ends: her UNSUBSCRIBE was gathered
    in its memory, after that turn's other commands for Redis. PUBLISH must answer 0."""
    server, points = make_killable(workers=1, heartbeat=300)
    server.client("carol")
    alice, bob = server.client("alice"), server.raw()
    head = upgrade_head("/ws?user=bob")
    bob.send_bytes(head[:-2])
    wait_of_age(server)
    worker = server.admin.workers()[0]
    os.kill(worker["pid"], signal.SIGSTOP)
    try:
        if gathered == "a subscription":
            bob.send_bytes(head[-2:])
        alice.close()
        points.arm(point)
    finally:
        os.kill(worker["pid"], signal.SIGCONT)
    server.wait_replaced(worker)
    assert points.armed(point) == 0
    wait_for(lambda: server.admin.ready() and server.subscribers("alice") == 0, "alice to be offline")
    assert server.push("alice", data=1) == 0


def test_a_user_whose_connection_was_closing_is_offline_though_the_index_was_rebuilt(make_killable):
    """A worker dies between the close of alice's connection and its way out of the index; the next one
    while it takes another connection out of the index, so that a third rebuilds it."""
    server, points = make_killable(workers=1, heartbeat=300)
    half, alice = server.client("half"), server.client("alice")
    others = [server.client(f"u{number}") for number in range(3)]
    half.send_bytes(frame(BINARY, b"a message whose end never comes", fin=False) +
                    frame(PING_FRAME))
    half.recv_pong()
    wait_of_age(server)
    points.arm("USERS_UNLINKED")
    points.arm("CLOSE_STATE")
    server.publish("ctl", {"kick": "alice"})
    wait_for(lambda: points.armed("CLOSE_STATE") == points.armed("USERS_UNLINKED") == 0, "both deaths")
    wait_for(lambda: "event=took_over" in server.log(), "the third worker")
    assert server.admin.counter("index_rebuilds_total") == 1
    wait_for(lambda: server.subscribers("alice") == 0, "alice to be offline")
    for number, client in enumerate(others):
        assert server.push(f"u{number}", data=number) == 1
        assert client.recv_message().json() == number


def test_what_a_dead_worker_left_open_ends_with_an_upgrade(make_killable):
    """The new version takes over the descriptors that have a record. It could not find any others,
    because its own have both higher and lower numbers."""
    server, points = make_killable("worker_died", workers=1)
    worker = server.admin.workers()[0]
    points.arm("ACCEPTED", 1)
    client = server.raw()
    server.wait_replaced(worker)
    server.signal(signal.SIGUSR2)
    client.expect_end()
    wait_for(server.admin.ready, "/readyz 200")


def test_nothing_of_it_is_in_the_normal_build():
    """And the other build is what it says."""
    assert b"killpoint" in KILLABLE.read_bytes().lower()
    assert b"killpoint" not in WSPUSHD.read_bytes().lower()
