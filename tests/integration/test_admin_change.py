"""POST /api/reload, /api/upgrade and /api/drain: the master carries them out, and /api/stats reports
the outcome correctly at every worker and its successors."""

import json
import os
import re
import signal
import time

import pytest

from harness.build import install
from harness.client import BYE
from harness.server import write_conf
from harness.wait import wait_for
from test_upgrade import installed  # noqa: F401: a fixture

BOOT = re.compile(r"^[0-9a-f]{1,8}$")


def post(server, path, body=b"", headers=()):
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    return server.admin.get(path, method="POST", body=body, headers=headers)


def stats(server):
    """As the client of an interface whose worker may be leaving has to: asking again."""
    def ask():
        try:
            return server.admin.stats()
        except (OSError, AssertionError):
            return None
    return wait_for(ask, "an answer")


def change(server, kind, number):
    """Waits for the change to end; returns its outcome."""
    wait_for(lambda: stats(server)[kind]["number"] >= number, f"{kind} {number} to end")
    return stats(server)[kind]


def ask(server, kind):
    """Asks for a reload or an upgrade; returns its outcome."""
    response = post(server, f"/api/{kind}")
    assert response.status == 202, response
    return change(server, kind, response.json()["number"])


@pytest.fixture
def changing(make_server):
    """A server whose workers are replaced on purpose."""
    def make(**config):
        server = make_server(**config)
        server.workers_may_change = True
        return server
    return make


def untouched(server, pids, client):
    assert server.worker_pids() == pids
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


# The reports in /api/stats.

def test_before_any_change_there_is_none(make_server):
    server = make_server()
    now = stats(server)
    assert now["reload"] == now["upgrade"] == {"number": 0, "under_way": False}
    assert BOOT.match(now["boot"])
    assert server.client("u").hello["conn"].startswith(now["boot"] + "-")


def test_reload_is_done_when_every_worker_is_another(changing):
    server = changing(workers=3, heartbeat=25)
    client, before = server.client("u"), server.worker_pids()
    write_conf(server.conf_path, {**server.config, "heartbeat": 7}, server.opcodes)
    outcome = ask(server, "reload")
    assert not set(before) & set(server.worker_pids()) and len(server.worker_pids()) == 3
    assert (outcome["number"], outcome["outcome"], outcome["text"]) == (1, "done", "")
    assert outcome["under_way"] is False and abs(outcome["at"] - time.time()) < 60
    assert server.client("v").hello["heartbeat"] == 7
    untouched(server, server.worker_pids(), client)


def test_reload_names_the_keys_that_keep_their_value(changing):
    server = changing(max_connections=50)
    write_conf(server.conf_path, {**server.config, "max_connections": 60}, server.opcodes)
    outcome = ask(server, "reload")
    assert outcome["outcome"] == "done" and "max_connections" in outcome["text"]


def test_reload_of_a_wrong_file_is_refused_with_every_mistake_and_its_line(make_server):
    server = make_server()
    server.expect_log("reload_refused")
    client, before = server.client("u"), server.worker_pids()
    good = server.conf_path.read_text()
    lines = good.count("\n")
    server.conf_path.write_text(good + "heartbeat = 0\nno_such_key = 1\n")
    outcome = ask(server, "reload")
    assert outcome["outcome"] == "refused"
    mistakes = outcome["text"].split("\n")
    assert len(mistakes) == 2
    assert f":{lines + 1}: heartbeat" in mistakes[0] and f":{lines + 2}: no_such_key" in mistakes[1]
    untouched(server, before, client)


def test_a_report_that_is_too_long_says_where_the_rest_is(make_server):
    server = make_server()
    server.expect_log("reload_refused")
    server.conf_path.write_text(server.conf_path.read_text() + "我们 = 1\n" * 500)
    text = ask(server, "reload")["text"]
    assert 3000 < len(text.encode()) < 4096 and text.endswith("... the log has all of it")


def test_signals_are_numbered_with_the_requests(changing):
    server = changing()
    server.signal(signal.SIGHUP)
    assert change(server, "reload", 1)["outcome"] == "done"
    assert ask(server, "reload")["number"] == 2


def test_whoever_asks_while_one_is_under_way_gets_the_next(changing):
    """The first waits for a worker that does not move; what the second asks for is not in it."""
    server = changing(workers=2, heartbeat=25)
    slow = server.admin.workers()[1]["pid"]
    os.kill(slow, signal.SIGSTOP)
    server.signal(signal.SIGHUP)
    wait_for(lambda: stats(server)["reload"]["under_way"], "the first to begin")
    write_conf(server.conf_path, {**server.config, "heartbeat": 9}, server.opcodes)
    response = wait_for(lambda: attempt(server, "/api/reload"), "an answer")
    assert response.json() == {"number": 2}
    assert stats(server)["reload"]["number"] == 0
    os.kill(slow, signal.SIGCONT)
    assert change(server, "reload", 2)["outcome"] == "done"
    assert server.client("u").hello["heartbeat"] == 9


def test_several_that_are_refused_at_once_are_each_reported_once(installed):  # noqa: F811
    """The first waits; a reload and an upgrade follow it, and end without waiting for anything."""
    server = installed(workers=2)
    server.expect_log("reload_refused")
    slow = server.admin.workers()[1]["pid"]
    os.kill(slow, signal.SIGSTOP)
    server.signal(signal.SIGHUP)
    wait_for(lambda: stats(server)["reload"]["under_way"], "the first to begin")
    with open(server.conf_path, "a") as conf:
        conf.write("heartbeat = 0\n")
    server.signal(signal.SIGHUP)
    server.signal(signal.SIGUSR2)
    server.expect_log("upgrade_refused")
    wait_for(lambda: server.log().count("event=signal") == 3, "all signals")
    os.kill(slow, signal.SIGCONT)
    assert change(server, "upgrade", 1)["outcome"] == "refused"
    assert change(server, "reload", 2)["outcome"] == "refused"
    assert server.log().count("event=changed") == 3


def test_a_reload_while_the_server_starts_does_not_wait_for_that(changing):
    server = changing()
    server.stop()
    server.launch()
    wait_for(lambda: server.log().count("event=worker_started") > 2, "the start to begin")
    server.signal(signal.SIGHUP)
    assert change(server, "reload", 1)["outcome"] == "done"
    wait_for(server.admin.ready, "/readyz 200")


def attempt(server, path):
    """POSTs to `path`; returns None if a worker that is leaving or stopped took the request."""
    try:
        return server.admin.get(path, method="POST", timeout=0.5)
    except (OSError, AssertionError):
        return None


def test_a_reload_that_is_asked_for_during_an_upgrade_outlives_it(installed):  # noqa: F811
    server = installed(workers=2)
    slow = server.admin.workers()[1]["pid"]
    os.kill(slow, signal.SIGSTOP)
    server.signal(signal.SIGUSR2)
    wait_for(lambda: "event=upgrading" in server.log(), "the workers to be told to leave")
    server.signal(signal.SIGHUP)
    wait_for(lambda: server.log().count("event=signal") == 2, "both signals")
    os.kill(slow, signal.SIGCONT)
    assert change(server, "upgrade", 1)["outcome"] == "done"
    assert change(server, "reload", 1)["outcome"] == "done"


def test_a_reload_by_which_workers_do_not_serve_has_failed_and_another_is_made(changing):
    """A worker that has died young repeatedly waits up to 10 s for its next start."""
    server = changing(workers=2, watchdog=1)
    while "event=worker_backoff worker=0 ms=10000" not in server.log():
        died = server.log().count("event=worker_died worker=0")
        os.kill(int(re.findall(r"event=worker_started worker=0 pid=(\d+)", server.log())[-1]),
                signal.SIGKILL)
        wait_for(lambda died=died: server.log().count("event=worker_died worker=0") > died and
                 server.log().count("event=worker_started worker=0") > died + 1 or
                 "ms=10000" in server.log(), "the next one", interval=0.001)
    server.signal(signal.SIGHUP)
    outcome = change(server, "reload", 1)
    assert (outcome["outcome"], outcome["text"]) == ("failed", "not every worker is serving: see the log")
    assert len(server.worker_pids()) == 1
    assert ask(server, "reload")["outcome"] == "done"
    assert len(server.worker_pids()) == 2


# Upgrades.

def test_upgrade_is_done_when_the_new_version_serves(installed):  # noqa: F811
    server = installed(workers=2)
    client, pid, boot = server.client("u"), server.pid, stats(server)["boot"]
    for number in (1, 2):
        before = server.worker_pids()
        install(server)
        outcome = ask(server, "upgrade")
        assert (outcome["number"], outcome["outcome"], outcome["text"]) == (number, "done", "")
        assert not set(before) & set(server.worker_pids()) and server.pid == pid
        untouched(server, server.worker_pids(), client)
    assert stats(server)["boot"] == boot


def refused(server, *words):
    """An upgrade is refused for a reason with these words, and the old version serves on."""
    server.expect_log("upgrade_refused")
    client, before = server.client("u"), server.worker_pids()
    outcome = ask(server, "upgrade")
    assert outcome["outcome"] == "refused"
    for word in words:
        assert word in outcome["text"], outcome
    assert "event=upgrade_refused why=" in server.log()
    untouched(server, before, client)
    return outcome["text"]


def test_upgrade_without_a_binary_is_refused(installed):  # noqa: F811
    server = installed()
    os.unlink(server.binary)
    refused(server, str(server.binary), "No such file or directory")


def test_upgrade_to_a_file_that_is_not_executable_is_refused(installed):  # noqa: F811
    server = installed()
    install(server)
    server.binary.chmod(0o644)
    refused(server, str(server.binary), "Permission denied")


def test_upgrade_to_a_file_that_is_no_program_is_refused(installed):  # noqa: F811
    server = installed()
    install(server, "no program")
    refused(server, str(server.binary), "Exec format error")


@pytest.mark.parametrize("script, words", [
    ("#!/bin/sh\nkill -SEGV $$\n", ["ended by signal 11 (Segmentation fault)"]),
    ("#!/bin/sh\nexit 3\n", ["ended with status 3"]),
    ("#!/bin/sh\necho no way; echo at all >&2\nexit 1\n", ["no way\nat all"]),
    ("#!/bin/sh\nprintf '\\377\\033[2J\\n'\nexit 4\n", ["?\x1b[2J\n", "ended with status 4"]),
    ("#!/bin/sh\necho like another layout; exit 4\n", ["another layout", "ended with status 4"]),
    ("#!/bin/sh\nyes\n", ["y\ny\n", "ended by signal 25"]),
], ids=["crash", "status", "words", "bytes", "layout", "flood"])
def test_upgrade_to_a_program_that_fails_is_refused_in_its_own_words(installed, script,  # noqa: F811
                                                                     words):
    server = installed()
    install(server, script)
    refused(server, *words)


def test_upgrade_with_a_wrong_push_conf_is_refused_with_every_mistake(installed):  # noqa: F811
    server = installed()
    good = server.conf_path.read_text()
    server.conf_path.write_text(good + "heartbeat = 0\nno_such_key = 1\n")
    text = refused(server, f":{good.count(chr(10)) + 1}: heartbeat", "no_such_key")
    assert len(text.split("\n")) == 2
    server.conf_path.write_text(good)
    assert ask(server, "upgrade")["outcome"] == "done"


def test_upgrade_with_a_key_that_needs_a_restart_is_refused(installed):  # noqa: F811
    server = installed(max_connections=50)
    write_conf(server.conf_path, {**server.config, "max_connections": 60}, server.opcodes)
    refused(server, "max_connections")


# Drain.

@pytest.mark.parametrize("body, code, status", [(b"", 1001, 0), ({}, 1001, 0),
                                                ({"restart": False}, 1001, 0),
                                                ({"restart": True}, 1012, 3)], ids=str)
def test_drain_ends_the_server_as_a_signal_does(make_server, body, code, status):
    server = make_server(drain_timeout=2)
    client = server.client("u")
    response = post(server, "/api/drain", body)
    assert response.status == 202
    assert response.json() == {"restart": status == 3, "drain_timeout": 2}
    assert client.recv_message().op == BYE
    client.expect_close(code)
    assert server.wait_exit() == status


@pytest.mark.parametrize("body", [b"restart", b"[]", b"{", b'{"restart":1}', b'{"restrat":true}',
                                  b'{"restart":true,"now":true}', b'{"restart":null}'], ids=str)
def test_a_drain_that_is_not_understood_is_none(server, user, body):
    response = post(server, "/api/drain", body)
    assert response.status == 400 and "restart" in response.json()["error"]
    server.client(user).expect_silence()


def test_what_is_asked_of_a_server_that_stops_is_refused(make_server):
    server = make_server(drain_timeout=30)
    client = server.client("u")  # who does not answer the close
    assert post(server, "/api/drain").status == 202
    assert client.recv_message().op == BYE
    for path in ("/api/reload", "/api/upgrade", "/api/drain"):
        response = post(server, path)
        assert (response.status, response.json()["error"]) == (503, "the server is stopping")
    client.expect_close(1001)
    assert server.wait_exit() == 0


def test_a_stop_refuses_the_change_under_way(changing):
    server = changing(workers=2, drain_timeout=30)
    client = server.client("u")
    slow = server.admin.workers()[1]["pid"]
    os.kill(slow, signal.SIGSTOP)
    server.signal(signal.SIGHUP)
    wait_for(lambda: stats(server)["reload"]["under_way"], "the reload to begin")
    server.signal(signal.SIGTERM)
    outcome = change(server, "reload", 1)
    assert (outcome["outcome"], outcome["text"]) == ("refused", "the server is stopping")
    os.kill(slow, signal.SIGCONT)
    client.expect_close(1001, skip_data=True)
    assert server.wait_exit() == 0


# Authorization.

@pytest.mark.parametrize("path", ["/api/reload", "/api/upgrade", "/api/drain"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_another_origins_page_may_not_ask(server, user, path, origin):
    before = server.worker_pids()
    response = post(server, path, headers=[("Origin", origin)])
    assert response.status == 403
    server.client(user).expect_silence()
    assert server.worker_pids() == before


@pytest.mark.parametrize("path", ["/api/reload", "/api/upgrade", "/api/drain"])
def test_it_is_done_by_post_only(server, path):
    response = server.admin.get(path)
    assert (response.status, response.header("Allow")) == (405, "POST")
