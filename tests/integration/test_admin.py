"""The admin interface: statistics, metrics and health for operators and their monitoring."""

import json
import random
import time

import pytest

from harness import admin
from harness.http import read_response, request, upgrade_head
from harness.net import open_socket
from harness.process import descriptors
from harness.wait import wait_for


# Health.

def test_healthz_and_readyz_of_a_healthy_node(server):
    assert server.admin.status("/healthz") == 200
    assert server.admin.status("/readyz") == 200


def test_ready_at_every_moment(make_server):
    """Also when a worker that has slept is asked in the moment in which the others note a probe: its
    clock is older than that. Asked so often that some question meets it."""
    server = make_server(workers=8)
    question = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    listener = server.redis.client.pubsub()
    listener.psubscribe(server.channel("probe:*"))
    crowd = [open_socket(server.admin.address) for _ in range(16)]
    probes = 0
    while probes < 2:
        probes += (listener.get_message() or {}).get("type") == "pmessage"
        for sock in crowd:
            sock.sendall(question)
        for sock in crowd:
            response = read_response(sock)
            assert response.status == 200, response.body
    listener.close()
    for sock in crowd:
        sock.close()


def test_a_query_changes_nothing(server):
    assert server.admin.status("/healthz?verbose=1") == 200


# Statistics.

def test_stats_have_their_shape(server, user):
    server.client(user)
    stats = server.admin.stats()
    assert stats["node"] == "node-a"
    assert stats["connections"] == 1
    assert isinstance(stats["uptime"], (int, float)) and stats["uptime"] >= 0
    assert [worker["slot"] for worker in server.admin.workers()] == [0, 1]
    for worker in stats["workers"]:
        assert set(worker) >= admin.WORKER_FIELDS
        assert worker["link"] == "up"
    assert sum(worker["connections"] for worker in stats["workers"]) == 1
    assert stats["counters"]


def test_stats_name_the_workers_pids(server):
    assert sorted(worker["pid"] for worker in server.admin.workers()) == server.worker_pids()


def test_uptime_grows(server):
    before = server.admin.stats()["uptime"]
    wait_for(lambda: server.admin.stats()["uptime"] > before, "the uptime to grow", interval=0.1)


def test_any_worker_answers_for_the_whole_node(server, user):
    """Connections at several homes; 30 requests on connections of their own see all of them."""
    for number in range(12):
        server.client(f"{user}.{number}")
    wait_for(lambda: server.admin.connections() == 12, "12 connections")
    for _ in range(30):
        assert server.admin.connections() == 12
        assert len(server.admin.user(f"{user}.{random.randrange(12)}")) == 1


def flat(counters):
    """{(name, label value or None): value} of the counters in /api/stats."""
    out = {}
    for name, value in counters.items():
        if isinstance(value, dict):
            out.update({(name, label): number for label, number in value.items()})
        else:
            out[name, None] = value
    return out


def with_label(metrics, name, wanted):
    """The sample of a metric whose one label has this value."""
    value, = (value for (sample, labels), value in metrics.samples.items()
              if sample == admin.PREFIX + name and [label[1] for label in labels] == [wanted])
    return value


def test_stats_and_metrics_agree(server, user):
    client = server.client(user)
    for number in range(20):
        server.push(user, 110, data=number)
        client.recv_message()
    server.publish("user:" + user, b"{")

    wanted = {(name, None)
              for name in (admin.RECEIVED, admin.DELIVERED, admin.ACCEPTED, admin.MESSAGES)}

    def same():
        """The counters that stood still, if both agree on them and the wanted ones are among them:
        the last push may just be on its way."""
        before = flat(server.admin.stats()["counters"])
        metrics = server.admin.metrics()
        after = flat(server.admin.stats()["counters"])
        steady = {key: value for key, value in before.items() if after[key] == value}
        for (name, label), value in steady.items():
            got = metrics.total(name) if label is None else with_label(metrics, name, label)
            if got != value:
                return None
        return steady if wanted <= set(steady) else None

    wait_for(same, "the same numbers in both")


def test_every_counter_of_metrics_is_in_stats(server):
    names = set(server.admin.stats()["counters"])
    counters = {name[len(admin.PREFIX):] for name, kind in server.admin.metrics().types.items()
                if kind == "counter" and name.startswith(admin.PREFIX)}
    assert counters == names


# Metrics.

def test_metrics_are_prometheus_text(server, user):
    """Metrics() reads strictly: HELP and TYPE for each family, counters end in _total."""
    server.client(user)
    response = server.admin.get("/metrics")
    assert response.header("Content-Type").startswith("text/plain")
    assert "version=0.0.4" in response.header("Content-Type")
    metrics = admin.Metrics(response.body.decode())
    assert all(name.startswith((admin.PREFIX, "process_")) for name in metrics.types)
    assert all(text.strip() for text in metrics.helps.values()), "a HELP for each"


def test_metrics_count_what_happens(server, user):
    before = server.admin.metrics()
    client = server.client(user)
    server.push(user, 110, data=1)
    client.recv_message()
    client.send_message(100, b"x")
    client.recv_message()

    def grown():
        after = server.admin.metrics()
        names = (admin.ACCEPTED, admin.RECEIVED, admin.DELIVERED, admin.MESSAGES)
        return [after.total(name) - before.total(name) for name in names] == [1, 1, 1, 1]

    wait_for(grown, "each to have grown by one")


def test_refused_handshakes_are_counted_by_reason(server):
    before = server.admin.metrics().by_label(admin.REFUSED, "reason")
    for head in (upgrade_head("/ws"), upgrade_head(method="POST"),
                 upgrade_head(extra=[("Origin", "http://evil.example")])):
        client = server.raw()
        client.send_bytes(head)
        assert client.recv_response().status >= 400

    def counted():
        after = server.admin.metrics().by_label(admin.REFUSED, "reason")
        return all(after[reason] == before.get(reason, 0) + 1
                   for reason in ("login", "bad_request", "origin"))

    wait_for(counted, "each reason once")


def test_closed_connections_are_counted_by_reason(server, user):
    before = server.admin.metrics().by_label(admin.CLOSED, "reason")
    fair, unfair, cut = (server.client(f"{user}.{n}") for n in range(3))
    fair.send_close(1000)
    fair.expect_close(1000)
    unfair.send_frame(0x3, b"")
    unfair.expect_close(1002)
    cut.reset()

    def counted():
        after = server.admin.metrics().by_label(admin.CLOSED, "reason")
        return [after[r] - before.get(r, 0) for r in ("peer", "protocol", "reset")] == [1, 1, 1]

    wait_for(counted, "one of each")


def test_counters_never_fall(server, user):
    last = server.admin.metrics()
    for number in range(5):
        server.client(f"{user}.{number}").close()
        fresh = server.admin.metrics()
        for (name, labels), value in last.samples.items():
            if name.endswith("_total"):
                assert fresh.samples[name, labels] >= value
        last = fresh


# Users.

def test_connections_of_a_user(server, user):
    first, second = server.client(user), server.client(user, "json")
    server.client(user + "x")
    entries = {entry["conn"]: entry for entry in server.admin.user(user)}
    assert set(entries) == {first.hello["conn"], second.hello["conn"]}
    for client, mode in ((first, "binary"), (second, "json")):
        entry = entries[client.hello["conn"]]
        assert set(entry) >= admin.CONNECTION_FIELDS
        assert entry["mode"] == mode
        assert entry["address"] == "127.0.0.1:%d" % client.sock.getsockname()[1]
        assert entry["worker"] in (0, 1)
        assert entry["queue"] == 0
        assert 0 <= entry["age"] < 60


def test_unknown_user_has_an_empty_list(server):
    assert server.admin.user("nobody-at-all") == []


@pytest.mark.parametrize("name", ["我们", "a b", "a/b", "a?b", "%41", 'q"\\', "a+b", "ü#"])
def test_user_names_are_percent_decoded_and_json_encoded(server, name):
    client = server.client(name)
    entries = server.admin.user(name)
    assert [entry["conn"] for entry in entries] == [client.hello["conn"]]


@pytest.mark.parametrize("path", ["/api/users/", "/api/users/%ff", "/api/users/%zz",
                                  "/api/users/a%00b", "/api/users/" + "a" * 64])
def test_user_name_that_is_none_is_refused(server, path):
    assert server.admin.status(path) in (400, 404)


def test_user_with_very_many_connections(server, user):
    with server.swarm() as swarm:
        swarm.connect(server.address, [user] * 500)
        wait_for(lambda: len(server.admin.user(user)) == 500, "500 entries")
    wait_for(lambda: server.admin.user(user) == [], "none left")


# Unknown paths, methods that are not allowed, and invalid HTTP.

@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/nothing", "/healthz/x", "/api/stats/x",
                                  "/..", "/api/../healthz"])
def test_other_paths_are_404(server, path):
    assert server.admin.status(path) == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/stats", "/api/users/u"])
def test_other_methods_are_405(server, method, path):
    response = server.admin.get(path, method=method, body=b"{}")
    assert response.status == 405
    assert "GET" in response.header("Allow")


@pytest.mark.parametrize("bytes_", [b"\r\n\r\n", b"garbage\r\n\r\n", b"\x00" * 100, b"GET\r\n\r\n",
                                    b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00" * 50,
                                    b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
                                    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
                                    b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                                    b"POST /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n"],
                         ids=lambda value: repr(value)[:30])
def test_garbage_harms_nobody(server, bytes_):
    sock = open_socket(server.admin.address)
    try:
        sock.sendall(bytes_)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert server.admin.status("/healthz") == 200
    sock.close()
    assert server.admin.status("/healthz") == 200


def test_two_requests_on_one_connection(server):
    sock = open_socket(server.admin.address)
    for _ in range(3):
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_response(sock).status == 200
    sock.close()


def test_slow_http_clients_hold_nobody_up(server, user):
    """Half requests, and a client that does not read its answer."""
    client = server.client(user)
    crowd = [open_socket(server.admin.address, receive_buffer=4096) for _ in range(50)]
    try:
        for number, sock in enumerate(crowd):
            halves = (b"GET /api/stats HTT", b"", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
            sock.sendall(halves[number % 3])
        for turn in range(10):
            start = time.monotonic()
            assert server.admin.status("/healthz") == 200
            assert server.push(user, 110, data=turn) == 1
            assert client.recv_message(timeout=5).json() == turn
            assert time.monotonic() - start < 5
    finally:
        for sock in crowd:
            sock.close()


def test_admin_connections_are_no_clients(server):
    crowd = [open_socket(server.admin.address) for _ in range(20)]
    assert server.admin.connections() == 0
    for sock in crowd:
        sock.close()


def test_many_admin_connections_leave_no_descriptor(server):
    before = descriptors(server.pid)
    for number in range(300):
        if number % 3:
            assert server.admin.status("/metrics") == 200
        else:
            open_socket(server.admin.address).close()
    wait_for(lambda: descriptors(server.pid) <= before + 2, "the descriptors to be closed")


def test_websocket_port_is_no_admin_port(server):
    for path in ("/metrics", "/healthz", "/api/stats"):
        assert request(server.address, path).status in (404, 426)


def test_answers_end_with_a_line_feed(server, user):
    """The body ends in a newline, so that a shell's prompt starts on a new line."""
    for path in ("/healthz", "/api/stats", "/api/users/" + user, "/nothing"):
        assert server.admin.get(path).body.endswith(b"}\n")
    answer = server.admin.get("/api/push", method="POST", body=b'{"user":"nobody","op":110}')
    assert answer.body.endswith(b"}\n") and answer.body.count(b"\n") == 1


def test_answers_are_json_with_their_type(server, user):
    for path in ("/api/stats", "/api/users/" + user):
        response = server.admin.get(path)
        assert response.header("Content-Type").startswith("application/json")
        json.loads(response.body)
