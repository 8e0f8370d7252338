"""SIGHUP with other listeners and with another number of workers: no client is closed, no push is lost,
duplicated or out of order, and each connection is at its new home afterwards."""

import os
import random
import signal
import socket
import struct
import threading
import time

import pytest

from harness.client import ACCEPTED, GAP, PING, PONG, SUBBED, Client, encode_binary
from harness.frames import BINARY, frame
from harness.http import upgrade_head
from harness.net import can_connect, free_port
from harness.process import descriptors
from harness.server import opcode, parse_address, write_conf
from harness.systemd import passing
from harness.wait import SANITIZED, wait_for
from test_slow import flood, number_of, slow_client
from test_topics import swarm_join
from test_upgrade import installed, upgrade  # noqa: F401 (a fixture)

KILL_ROUNDS = 6 if SANITIZED else 25
LINK_ROUNDS = 4 if SANITIZED else 12


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
    assert path.exists(), "a file of another program"
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
    reload(server)
    wait_for(lambda: server.log().count("event=took_over") == server.config["workers"],
             "the successors to have all that they open")
    before = descriptors(server.pid)
    for _ in range(10):
        reload(server, listen=[f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"])
    wait_for(server.admin.ready, "/readyz 200")
    wait_for(lambda: descriptors(server.pid) <= before + 1, f"{before} descriptors as before")


# Workers.

def resize(server, workers, **changes):
    """Another number of workers, awaited to the end of the move."""
    moved = server.log().count("event=moved ")
    reload(server, workers=workers, **changes)
    wait_for(lambda: server.log().count("event=moved ") == moved + 1, "the end of the move")
    wait_for(lambda: len(server.worker_pids()) == workers, f"{workers} workers")


USER, TOPIC, ALL = 110, 111, 112


class Traffic(threading.Thread):
    """Numbered pushes to users, topics and all, until told to stop."""

    def __init__(self, server, users, topics=()):
        super().__init__(daemon=True)
        self.server, self.failure, self.rounds, self.unheard = server, None, 0, 0
        self.channels = [("user:" + user, USER) for user in users]
        self.channels += [("topic:" + topic, TOPIC) for topic in topics] + [("all", ALL)]
        self._stop_asked = threading.Event()

    def run(self):
        try:
            while not self._stop_asked.wait(0.005):
                replies = self.server.redis.publish_many(
                    (self.server.channel(channel), struct.pack(">I", op) + b"%d" % self.rounds)
                    for channel, op in self.channels)
                self.unheard += replies.count(0)
                self.rounds += 1
        except BaseException as failure:  # for finish
            self.failure = failure

    def finish(self):
        self._stop_asked.set()
        self.join(30)
        assert self.failure is None, self.failure
        return self.rounds


def sequences(client):
    """What the client has got: {op: [numbers]}."""
    assert client.ended is None and client.fault is None, (client.ended, client.fault)
    got = {}
    for message in client.messages():
        got.setdefault(message.op, []).append(message)
    return got


def numbers(messages):
    return [int(message.payload) for message in messages]


def wait_all(swarm, clients, rounds, ops):
    """Until each client has the last push of each kind."""
    ends = [struct.pack(">I", op) + b"%d" % (rounds - 1) for op in ops]

    def done():
        return all(any(frame.payload == end for frame in list(client.frames)[-50:])
                   for client in clients for end in ends)
    swarm.pump(done, "the last pushes for everyone")


def check_homes(server, users, topics=()):
    """Every channel is subscribed once, by one of as many links as there are workers."""
    names = [server.channel("user:" + user) for user in users]
    names += [server.channel("topic:" + topic) for topic in topics]
    names += [server.channel(name) for name in ("all", "users", "ctl")]

    def strays():
        return [pair for pair in server.redis.client.pubsub_numsub(*names) if pair[1] != 1]
    try:
        wait_for(lambda: not strays(), "one subscription for each channel", 5)
    except AssertionError:
        raise AssertionError(f"not subscribed once: {strays()}") from None
    wait_for(lambda: server.redis.client.pubsub_channels(server.channel("fence:*")) == [],
             "the fence's channel to be given up", 5)
    workers = server.admin.workers()
    assert len(workers) == server.config["workers"]
    total = sum(worker["connections"] for worker in workers)
    assert total == server.admin.connections()
    for user in users[:20]:
        home = server.home_of("user:" + user)
        assert {conn["worker"] for conn in server.admin.user(user)} == {home}
    stats = server.admin.stats()
    assert stats["redis_links_up"] == len(workers)


def test_workers_come_and_go_under_load_and_nobody_notices(changed):
    server = changed(workers=1, topics=["room:*"], max_topics=3)
    users, topics = [f"u{n}" for n in range(200)], [f"room:{n}" for n in range(10)]
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users + users[:20])
        for n in range(10):
            swarm_join(swarm, clients[n::10], topics[n])
        traffic = Traffic(server, users, topics)
        traffic.start()
        for number in (2, 4, 3, 1, 5, 2):
            resize(server, number)
            swarm.pump_for(0.1)
            check_homes(server, users, topics)
        rounds = traffic.finish()
        wait_all(swarm, clients, rounds, (USER, TOPIC, ALL))
        for client in clients:
            got = sequences(client)
            assert set(got) == {USER, TOPIC, ALL}, "and no GAP, for nothing was missed"
            for op, messages in got.items():
                assert numbers(messages) == list(range(rounds)), f"{op}: lost, doubled or reordered"
    assert traffic.unheard == 0, "a user seemed offline"
    stats = server.admin.stats()
    assert all(worker["restarts"] == 0 for worker in stats["workers"])
    assert stats["counters"]["rehomed_total"] > 200
    assert stats["counters"]["connections_closed_total"]["dirty"] == 0
    received = stats["counters"]["pushes_received_total"]
    assert received == rounds * (len(users) + len(topics) + 1), "each counted once"
    assert stats["counters"]["pushes_dropped_total"]["no_connection"] == 0


def test_what_is_half_done_goes_along(changed):
    """Half a message, half a request head, half a frame sent, a backlog, an echo, an upstream
    request; from one worker to four, to three, to one."""
    server = changed(workers=1, send_buffer=16384, queue_limit=4 << 20,
                     opcodes=[opcode(100, name="up", to="stream:rehome:up")])
    data = frame(BINARY, encode_binary(PING, b"a payload to be cut " * 3))
    halves = [server.client(f"half{n}") for n in range(8)]
    heads = [server.raw() for _ in range(4)]
    slow = [slow_client(server, f"slow{n}") for n in range(3)]
    echo = server.echo_client()
    echo.send_bytes(frame(BINARY, b"first, ", fin=False))
    head = [upgrade_head(f"/ws?user=head{n}") for n in range(4)]
    for n, client in enumerate(halves):
        client.send_bytes(data[:3 + n])
    for n, client in enumerate(heads):
        client.send_bytes(head[n][:20 + n])
    for n in range(3):
        flood(server, f"slow{n}", 1500)
        wait_for(lambda n=n: server.admin.user(f"slow{n}")[0]["queue"] > 0, "the client to be slow")
    for number in (4, 3, 1):
        resize(server, number)
        halves[0].send_bytes(data[3:])
        assert halves[0].recv_message()[:2] == (PONG, b"a payload to be cut " * 3)
        halves[0].send_bytes(data[:3])
        halves[1].send_bytes(data[4:])
        assert halves[1].recv_message()[:2] == (PONG, b"a payload to be cut " * 3)
        halves[1].send_message(100, b"up")
        assert halves[1].recv_message().op == ACCEPTED
        halves[1].send_bytes(data[:4])
    for n, client in enumerate(halves[2:], 2):
        client.send_bytes(data[3 + n:])
        assert client.recv_message()[:2] == (PONG, b"a payload to be cut " * 3)
    for n, client in enumerate(heads):
        client.send_bytes(head[n][20 + n:])
        client.expect_upgrade()
        client.expect_hello()
    echo.send_bytes(frame(0, b"then the rest"))
    assert echo.recv_data() == (BINARY, b"first, then the rest")
    for client in slow:
        assert [number_of(client.recv_message()) for _ in range(1500)] == list(range(1500))


def test_clients_come_and_go_during_moves(changed):
    """No client misses a push after HELLO, and every new client gets HELLO."""
    server = changed(workers=2, handshake_timeout=60)
    stop, failures, served = threading.Event(), [], []

    def churn(which):
        try:
            n = 0
            while not stop.is_set():
                user = f"churn{which}-{n}"
                client = Client(server.address)
                client.send_upgrade(user)
                client.expect_upgrade()
                client.expect_hello()
                assert server.redis.client.publish(server.channel("user:" + user), b"\0\0\0nhere")
                assert client.recv_message()[:2] == (110, b"here")
                client.close()
                n += 1
            served.append(n)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=churn, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for number in (3, 1, 4, 2, 5, 1):
        resize(server, number)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failures and len(served) == 4 and min(served) > 0, failures
    wait_for(lambda: server.admin.connections() == 0, "everybody to be gone")
    resize(server, 2)
    left = server.redis.client.pubsub_channels(server.channel("user:*"))
    for channel in left:  # who left in the middle of a move: given up with the first push
        server.redis.publish(channel, b"\0\0\0nnobody")
    wait_for(lambda: not server.redis.client.pubsub_channels(server.channel("user:*")),
             "no subscription to be left")


def test_node_is_ready_all_the_time(changed):
    server = changed(workers=2)
    client = server.client("u")
    seen, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            try:
                seen.append(server.admin.get("/readyz").json())
            except (OSError, AssertionError, ValueError):
                pass  # admin connections end with their worker

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    for number in (4, 1, 3):
        resize(server, number)
    stop.set()
    thread.join(30)
    assert seen and {answer["status"] for answer in seen} == {"ready"}, \
        [answer for answer in seen if answer["status"] != "ready"]
    check_served(server, client, "u")


def blocks(server):
    """Bytes of shared memory that there really are."""
    for number in os.listdir(f"/proc/{server.pid}/fd"):
        path = f"/proc/{server.pid}/fd/{number}"
        try:
            if os.readlink(path).startswith("/memfd:wspushd "):
                return os.stat(path).st_blocks * 512
        except OSError:
            continue
    raise AssertionError("no segment")


def test_memory_and_descriptors_are_given_back(changed):
    server = changed(workers=1)
    users = [f"u{n}" for n in range(50)]
    clients = [server.client(user) for user in users]
    resize(server, 3)
    resize(server, 1)
    server.redis.publish_many((server.channel("user:" + user), b"\0\0\0n1") for user in users)
    for client in clients:
        assert client.recv_message().op == 110
    wait_for(server.admin.ready, "/readyz 200")
    before, memory = descriptors(server.pid), blocks(server)
    for _ in range(5):
        resize(server, 3)
        resize(server, 1)
    check_homes(server, users)
    wait_for(lambda: descriptors(server.pid) <= before, f"{before} descriptors as before")
    assert blocks(server) <= memory + 64 * 1024
    for n, client in enumerate(clients):
        check_served(server, client, users[n])


def test_workers_0_follows_the_cores_and_too_many_are_refused(changed):
    cores = len(os.sched_getaffinity(0))
    server = changed(workers=cores + 1)
    client = server.client("u")
    done = server.log().count("event=moved ")
    reload(server, workers=0)
    wait_for(lambda: server.log().count("event=moved ") == done + 1, "the end of the move")
    assert len(server.admin.workers()) == os.sysconf("SC_NPROCESSORS_ONLN")
    most = max(16, 2 * os.sysconf("SC_NPROCESSORS_ONLN"))
    refused(server, workers=most + 1)
    assert f"the server has room for {most}" in server.log()
    check_served(server, client, "u")


# Other things at the same time.

def test_reloads_in_quick_succession_end_with_the_last(changed, tmp_path):
    server = changed(workers=1)
    users = [f"u{n}" for n in range(30)]
    clients = [server.client(user) for user in users]
    for number in (4, 2, 5, 1, 3):
        server.config.update(workers=number)
        whole = write_conf(tmp_path / "push.conf", server.config, server.opcodes)
        os.replace(whole, server.conf_path)
        server.signal(signal.SIGHUP)
        time.sleep(0.01)  # to come in another phase each time
    wait_for(lambda: len(server.worker_pids()) == 3 and server.log().count("event=moved ") >= 1 and
             f"to={server.config['workers']} " in server.log().split("event=moved ")[-1],
             "the last number")
    check_homes(server, users)
    for user, client in zip(users, clients):
        check_served(server, client, user)


@pytest.mark.parametrize("delay", [0, 0.005, 0.015, 0.025])
def test_stop_during_a_move_is_a_clean_stop(changed, delay):
    server = changed(workers=1)
    clients = [server.client(f"u{n}") for n in range(20)]
    write_conf(server.conf_path, {**server.config, "workers": 4}, server.opcodes)
    server.signal(signal.SIGHUP)
    time.sleep(delay)
    server.signal(signal.SIGTERM)
    for client in clients:
        client.expect_close(1001, skip_data=True)
    assert server.wait_exit() == 0


def test_upgrade_that_is_asked_for_during_a_move_comes_after_it(installed):  # noqa: F811
    server = installed(workers=1)
    clients = {f"u{n}": server.client(f"u{n}") for n in range(20)}
    server.config.update(workers=3)
    write_conf(server.conf_path, server.config, server.opcodes)
    server.signal(signal.SIGHUP)
    wait_for(lambda: "event=reloading" in server.log(), "the reload to begin")
    upgrade(server)
    log = server.log()
    assert log.index("event=moved ") < log.index("event=upgrading")
    resize(server, 2)
    check_homes(server, list(clients))
    for user, client in clients.items():
        check_served(server, client, user)


# Deaths and failures on the way.

@pytest.fixture
def mortal(changed):
    def make(**config):
        server = changed(**config)
        server.expect_log("worker|died|killed|signal")
        return server
    return make


def test_workers_killed_at_any_moment_of_a_move(mortal):
    """Pushes in hand may arrive twice, as after any death; none is lost, and no client is closed."""
    server = mortal(workers=2, topics=["room:*"])
    users, topics = [f"u{n}" for n in range(100)], [f"room:{n}" for n in range(5)]
    seed = random.randrange(10000)
    print("seed", seed)
    random_ = random.Random(seed)
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users)
        for n in range(5):
            swarm_join(swarm, clients[n::5], topics[n])
        traffic = Traffic(server, users, topics)
        traffic.start()
        for round_ in range(KILL_ROUNDS):
            number = random_.choice([n for n in (1, 2, 3, 4) if n != server.config["workers"]])
            moved = server.log().count("event=moved ")
            server.config.update(workers=number)
            write_conf(server.conf_path, server.config)
            server.signal(signal.SIGHUP)
            for _ in range(random_.choice((1, 1, 2, 3))):
                swarm.pump_for(random_.uniform(0, 0.035))
                pids = server.worker_pids()
                if pids:
                    try:
                        os.kill(random_.choice(pids), signal.SIGKILL)
                    except ProcessLookupError:
                        pass  # it has left in the meantime
            swarm.pump(lambda moved=moved: server.log().count("event=moved ") == moved + 1,
                       f"the end of move {round_} to {number}")
        rounds = traffic.finish()
        wait_all(swarm, clients, rounds, (USER, TOPIC, ALL))
        for client in clients:
            got = sequences(client)
            for op in (USER, TOPIC, ALL):
                assert list(dict.fromkeys(numbers(got[op]))) == list(range(rounds)), f"{op}"
            assert set(got) <= {USER, TOPIC, ALL, SUBBED}, "no gap: nothing was lost"
        wait_for(lambda: len(server.worker_pids()) == server.config["workers"], "the workers")
        check_homes(server, users, topics)
    assert traffic.unheard == 0


def expect_told(messages, rounds):
    """Expects every number in order; if some are missing, a GAP must be there or follow soon. Pushes
    arrive as soon as Redis has the subscription, GAP when Redis has confirmed all of them."""
    expected, told_at, lost_at = 0, None, None
    for message in messages:
        if message.op == GAP:
            told_at, lost_at = expected, None
            continue
        number = int(message.payload)
        assert number >= expected, "doubled or reordered"
        if number > expected and told_at != expected:
            lost_at = number
        assert lost_at is None or number - lost_at < 60, f"{lost_at - 1} lost without a GAP"
        expected = number + 1
    assert expected == rounds and lost_at is None


def test_links_killed_in_the_middle_of_a_move(changed):
    """Clients are told of pushes lost with a link, whichever worker has their connection by then."""
    server = changed(workers=2)
    users = [f"u{n}" for n in range(60)]
    seed = random.randrange(10000)
    print("seed", seed)
    random_ = random.Random(seed)
    with server.swarm() as swarm:
        clients = swarm.connect(server.address, users)
        boot = clients[0].hello["conn"].split("-")[0]
        traffic = Traffic(server, users)
        traffic.start()
        for _ in range(LINK_ROUNDS):
            number = random_.choice([n for n in (1, 2, 3, 4) if n != server.config["workers"]])
            moved = server.log().count("event=moved ")
            server.config.update(workers=number)
            write_conf(server.conf_path, server.config)
            server.signal(signal.SIGHUP)
            swarm.pump_for(random_.uniform(0, 0.035))
            links = [link for link in server.redis.client.client_list(_type="pubsub")
                     if link["name"].startswith(f"wspushd-{boot:>08}-")]
            if links:
                server.redis.client.client_kill_filter(_id=random_.choice(links)["id"])
            swarm.pump(lambda moved=moved: server.log().count("event=moved ") == moved + 1,
                       "the end of the move")
            swarm.pump(server.admin.ready, "/readyz 200")
            swarm.pump_for(0.1)
        swarm.pump_for(0.3)
        rounds = traffic.finish()
        wait_all(swarm, clients, rounds, (USER, ALL))
        for client in clients:
            messages = client.messages()
            assert client.ended is None
            for op in (USER, ALL):
                expect_told([m for m in messages if m.op in (op, GAP)], rounds)
        check_homes(server, users)


def test_redis_that_is_away_does_not_stop_a_move(changed, own_redis):
    redis = own_redis().start()
    server = changed(workers=1, redis_server=redis)
    clients = {f"u{n}": server.client(f"u{n}") for n in range(30)}
    redis.kill()
    for number in (3, 2):
        resize(server, number)
    redis.start()
    wait_for(server.admin.ready, "/readyz 200")
    for user, client in clients.items():
        message = client.recv_message()
        assert message.op == GAP and message.json()["ms"] > 0
        check_served(server, client, user)
    check_homes(server, list(clients))


def test_fence_that_does_not_come_ends_the_move_as_if_it_had_not_begun(changed, own_redis):
    redis = own_redis().start()
    redis.client.execute_command("ACL", "SETUSER", "push", "on", ">pw", "~*", "&*", "+@all")
    server = changed(workers=2, redis_server=redis,
                     redis=f"redis://push:pw@127.0.0.1:{redis.port}/0")
    users = [f"u{n}" for n in range(40)]
    clients = {user: server.client(user) for user in users}
    redis.client.execute_command("ACL", "SETUSER", "push", "-publish")
    reload(server, workers=4)
    server.config.update(workers=2)
    late = server.raw()
    late.send_upgrade("late")
    wait_for(lambda: "event=move_given_up" in server.log(), "the end of the move", 30)
    late.expect_upgrade()
    late.expect_hello()
    redis.client.execute_command("ACL", "SETUSER", "push", "+publish")
    wait_for(lambda: len(server.worker_pids()) == 2, "the new workers to be gone")
    wait_for(server.admin.ready, "/readyz 200")
    check_homes(server, [*users, "late"])
    for user, client in [*clients.items(), ("late", late)]:
        check_served(server, client, user)
    resize(server, 4)
    check_homes(server, [*users, "late"])
    for user, client in clients.items():
        check_served(server, client, user)
