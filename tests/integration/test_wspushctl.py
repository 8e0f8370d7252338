"""wspushctl: each command against the real server, its output, and every exit status."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.build import install
from harness.client import BYE
from harness.net import free_port
from harness.process import alive, die_with_us
from harness.server import write_conf
from harness.wait import ROOT, TIMEOUT, WSPUSHD, wait_for
from test_upgrade import installed  # noqa: F401: a fixture

WSPUSHCTL = WSPUSHD.with_name("wspushctl")

DONE, USAGE, UNREACHABLE, REFUSED, OFFLINE = range(5)


class Ran:
    """wspushctl, run to its end."""

    def __init__(self, *arguments, timeout=TIMEOUT, **options):
        done = subprocess.run([WSPUSHCTL, *map(str, arguments)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              **options)
        self.status = done.returncode
        self.out, self.err = done.stdout.decode(), done.stderr.decode()


def ctl(server, *arguments, **options):
    return Ran("--admin", server.config["admin"], *arguments, **options)


@pytest.fixture
def changing(make_server):
    """A server whose workers are replaced on purpose."""
    def make(**config):
        server = make_server(**config)
        server.workers_may_change = True
        return server
    return make


# The command line: exit status 1, and nothing is asked.

def test_the_manual_has_every_command_and_option():
    ran = Ran("--help")
    assert (ran.status, ran.err) == (DONE, "")
    commands = set(re.findall(r"^  (\w+) ", ran.out.split("options:")[0], re.M))
    assert commands == {"status", "top", "who", "push", "kick", "reload", "upgrade", "drain"}
    options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", ran.out, re.M))
    statuses = set(re.findall(r"^  (\d)  ", ran.out, re.M))
    manual = (ROOT / "docs/wspushctl.1").read_text()
    assert commands == set(re.findall(r"^\.It Ic (\w+)", manual, re.M))
    assert options == {"--" + name for name in re.findall(r"^\.It.* Fl -([\w-]+)", manual, re.M)}
    assert statuses == set(re.findall(r"^\.It (\d)$", manual, re.M)) == set("01234")


def test_it_is_of_the_servers_version(server):
    assert Ran("-V").out == f"wspushctl {server.admin.stats()['version']}\n"


@pytest.mark.parametrize("arguments, word", [
    ([], "COMMAND"), (["dance"], "dance"), (["who"], "USER"), (["push", "42"], "USER OP"),
    (["push", "1", "110", "a", "b"], "USER OP"), (["status", "now"], "no argument"),
    (["kick", "a", "b"], "USER"), (["--nonsense", "status"], "nonsense"), (["-x"], "x"),
    (["--timeout", "soon", "reload"], "--timeout"), (["--every", "0", "top"], "--every"),
    (["--admin"], "admin"), (["--admin", "", "status"], "host:port"),
    (["--admin", "8081", "status"], "host:port"), (["--admin", "[]:1", "status"], "host:port"),
    (["--admin", "unix:", "status"], "unix socket"),
    (["--admin", "unix:" + "x" * 108, "status"], "unix socket"),
    (["--admin", "127.0.0.1:1", "push", "42", "ten"], "ten"),
    (["--admin", "127.0.0.1:1", "push", "42", "-5"], "5"),
    (["--admin", "127.0.0.1:1", "push", "42", "110", "hex:0"], "hex"),
    (["--admin", "127.0.0.1:1", "push", "42", "110", "@/nonexistent"], "No such file"),
    (["--admin", "127.0.0.1:1", "push", b"\xff", "110"], "UTF-8"),
    (["--admin", "127.0.0.1:1", "kick", b"\xff"], "UTF-8"),
    (["--restart", "reload"], "--restart"), (["-c", "/nonexistent/push.conf", "status"], "No such"),
], ids=lambda value: str(value)[:50])
def test_wrong_usage_is_1_and_named(arguments, word):
    done = subprocess.run([WSPUSHCTL, *arguments], capture_output=True, timeout=TIMEOUT)
    assert done.returncode == USAGE
    assert done.stdout == b"" and word in done.stderr.decode()


# Nobody answers: exit status 2.

@pytest.mark.parametrize("command", [["status"], ["top"], ["who", "u"], ["push", "u", "110"],
                                     ["kick", "u"], ["reload"], ["upgrade"], ["drain"]],
                         ids=lambda command: command[0])
def test_a_server_that_is_not_there_is_2(command):
    ran = Ran("--admin", f"127.0.0.1:{free_port()}", *command)
    assert (ran.status, ran.out) == (UNREACHABLE, "")
    assert "Connection refused" in ran.err
    ran = Ran("--admin", "unix:/nonexistent/admin.sock", *command)
    assert ran.status == UNREACHABLE and "No such file" in ran.err


@contextlib.contextmanager
def answering(reply, first=None):
    """A server that answers every request with these bytes, or, with None, not at all.

    first: what the first request is answered with instead.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    if reply is None:
                        held.append(connection)
                        continue
                    with connection:
                        asked.append(connection.recv(65536).split(b" ")[0])
                        connection.sendall(reply if first is None or len(asked) > 1 else first)
        held, asked = [], []
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(TIMEOUT)
        for connection in held:
            connection.close()


@pytest.mark.parametrize("reply, word", [
    (b"", "without an answer"), (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", "in the middle of its answer"),
    (b"HTTP/1.1 200 OK\r\n\r\n<html>", "not the admin interface"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n[]", "not the admin interface"),
], ids=lambda value: str(value)[:30])
def test_something_else_that_answers_is_2(reply, word):
    with answering(reply) as (address, _):
        ran = Ran("--admin", address, "status")
    assert ran.status == UNREACHABLE and word in ran.err


def test_who_only_looks_asks_again_where_the_answer_is_cut():
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"connections":[]}'
    with answering(whole, first=whole[:40]) as (address, asked):
        assert Ran("--admin", address, "who", "u").status == OFFLINE
        assert asked == [b"GET", b"GET"]
    with answering(b"", first=b"") as (address, asked):
        assert Ran("--admin", address, "kick", "u").status == UNREACHABLE
        assert asked == [b"POST"]


def test_a_server_that_hangs_is_2_in_time():
    with answering(None) as (address, _):
        began = time.monotonic()
        ran = Ran("--admin", address, "status")
        assert time.monotonic() - began >= 9
    assert ran.status == UNREACHABLE and "no answer in time" in ran.err


def test_what_a_server_says_is_harmless_to_the_terminal():
    body = b'{"error":"\\u001b[2J\\u202eevil\\n"}'
    reply = b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with answering(reply) as (address, _):
        ran = Ran("--admin", address, "kick", "u")
    assert ran.status == REFUSED
    assert "\x1b" not in ran.err and "\\x1b[2J\\u202eevil\\n" in ran.err


# Where it is.

def test_the_address_comes_from_push_conf_even_where_that_has_mistakes(server, tmp_path):
    conf = tmp_path / "push.conf"
    conf.write_text(f'heartbeat = 0\nnonsense = 1\nadmin = "{server.config["admin"]}"\n}}\n')
    assert Ran("-c", conf, "status").status == DONE
    assert Ran("status", "--conf", conf).status == DONE
    conf.write_text('admin = ""\n')
    ran = Ran("-c", conf, "status")
    assert ran.status == USAGE and "the admin interface is disabled" in ran.err


def test_unix_socket(make_server, tmp_path):
    server = make_server(admin=f"unix:{tmp_path}/admin.sock")
    ran = ctl(server, "status")
    assert (ran.status, ran.err) == (DONE, "")
    assert Ran("-c", server.conf_path, "status").status == DONE


def test_ipv6(make_server):
    server = make_server(admin=f"[::1]:{free_port()}")
    assert ctl(server, "status").status == DONE


# status, top.

def test_status_shows_the_node(make_server):
    server = make_server(workers=3, node="node-b")
    clients = [server.client(f"u{n}") for n in range(3)]
    ran = ctl(server, "status")
    assert (ran.status, ran.err) == (DONE, "")
    assert re.match(r"wspushd \d+\.\d+\.\d+ on node-b is ready, up \d+ s\n", ran.out)
    assert re.search(r"^  connections +3, 3 with a user$", ran.out, re.M)
    assert re.search(r"^  Redis links +3 of 3 up$", ran.out, re.M)
    assert re.search(r"^  last reload +none since start$", ran.out, re.M)
    rows = re.findall(r"^ +(\d+) +(\d+) +(\d+) +0  up$", ran.out, re.M)
    assert [int(pid) for _, pid, _ in rows] == [w["pid"] for w in server.admin.workers()]
    assert sum(int(count) for _, _, count in rows) == len(clients)
    assert "\x1b" not in ran.out, "no colours into a pipe"


def test_columns_are_aligned(make_server):
    server = make_server(workers=2)
    lines = ctl(server, "status").out.split("\n")
    heading = next(line for line in lines if "Redis link" in line and "pid" in line)
    rows = lines[lines.index(heading) + 1:][:2]
    for column in ("pid", "connections", "deaths"):
        end = heading.index(column) + len(column)
        assert all(row[end - 1].isdigit() and row[end] == " " for row in rows), lines
    assert all(row.index("up") == heading.index("Redis link") for row in rows)


def test_status_of_a_node_that_is_not_ready_is_3(make_server, own_redis):
    server = make_server(start=False, redis_server=own_redis())
    server.start(ready=False)
    ran = ctl(server, "status")
    assert ran.status == REFUSED
    assert "is not ready: redis link down" in ran.out and "Redis links   0 of 2 up" in ran.out


def test_json_is_what_the_server_answers(server, user):
    server.client(user)
    ran = ctl(server, "--json", "status")
    assert ran.status == DONE and ran.out.count("\n") == 1
    assert json.loads(ran.out).keys() == server.admin.stats().keys()
    assert json.loads(ctl(server, "--json", "who", user).out)["connections"] == \
        server.admin.user(user)
    lines = ctl(server, "--json", "top", "--count", 2).out.strip().split("\n")
    assert len(lines) == 2 and all(json.loads(line)["node"] == "node-a" for line in lines)


def test_top_counts_what_came_in_between(server, user):
    client = server.client(user)
    top = subprocess.Popen([WSPUSHCTL, "--admin", server.config["admin"], "top", "--count", "2",
                            "--every", "2"], stdout=subprocess.PIPE, preexec_fn=die_with_us)
    while b"Redis link\n" not in top.stdout.readline():
        pass
    for _ in range(20):
        assert server.push(user, 110, data=1) == 1
    rest = top.stdout.read().decode()
    assert top.wait(TIMEOUT) == DONE
    top.stdout.close()
    rate = int(re.search(r"pushes received +[\d,]+ +(\d+)$", rest, re.M)[1])
    assert 1 <= rate <= 20, rest
    assert [client.recv_message().op for _ in range(20)] == [110] * 20


def test_top_goes_on_while_the_server_cannot_answer(changing):
    server = changing()
    top = subprocess.Popen([WSPUSHCTL, "--admin", server.config["admin"], "top"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_us)

    def picture():
        line = top.stdout.readline()
        while not line.startswith(b"wspushd "):
            line = top.stdout.readline()

    picture()
    server.stop()
    assert b"no answer" in top.stderr.readline()
    server.start()
    picture()
    top.send_signal(signal.SIGINT)
    assert top.wait(TIMEOUT) == -signal.SIGINT
    top.stdout.close()
    top.stderr.close()


def test_on_a_terminal_there_are_colours_and_one_picture(server):
    ours, theirs = pty.openpty()
    done = subprocess.run([WSPUSHCTL, "--admin", server.config["admin"], "top", "--count", "1"],
                          stdout=theirs, timeout=TIMEOUT,
                          env={k: v for k, v in os.environ.items() if k != "NO_COLOR"})
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while True:
            text += os.read(ours, 65536)
    os.close(ours)
    assert done.returncode == DONE
    assert text.startswith(b"\x1b[H\x1b[J") and b"\x1b[32mready\x1b[0m" in text


# who, push, kick.

def test_who_lists_the_connections(server, user):
    first, second = server.client(user), server.client(user, mode="json")
    ran = ctl(server, "who", user)
    assert (ran.status, ran.err) == (DONE, "")
    lines = ran.out.strip().split("\n")
    assert lines[0].split()[:4] == ["connection", "address", "worker", "mode"]
    assert {line.split()[0] for line in lines[1:]} == {first.hello["conn"], second.hello["conn"]}
    assert {line.split()[3] for line in lines[1:]} == {"binary", "json"}


@pytest.mark.parametrize("name", ["我们", 'q"\\', "a/b c?d#e%20", "-x", "x" * 63])
def test_names_of_all_kinds(server, name):
    client = server.client(name)
    assert client.hello["conn"] in ctl(server, "--json", "who", "--", name).out
    ran = ctl(server, "push", "--", name, 110, "text:42")
    assert ran.status == DONE, ran.err
    assert client.recv_message().payload == b"42"
    assert ctl(server, "kick", "--", name).status == DONE
    client.expect_close(4001)


def test_who_and_push_of_a_user_who_is_offline_are_4(server, user):
    ran = ctl(server, "who", user)
    assert (ran.status, ran.out) == (OFFLINE, f"user {user} has no connection on this node\n")
    ran = ctl(server, "push", user, 110, "hello")
    assert (ran.status, ran.out) == (OFFLINE, f"user {user} is offline\n")
    assert ctl(server, "--json", "push", user, 110).status == OFFLINE


@pytest.mark.parametrize("data, json_form, payload", [
    (None, "none", b""), ("hello", "text", b"hello"), ("我们都好", "text", "我们都好".encode()),
    ('{"a": 1.0,  "b":[]}', "data", b'{"a": 1.0,  "b":[]}'), ("42", "data", b"42"),
    ("text:42", "text", b"42"), ("text:@x", "text", b"@x"), ("hex:00ff", "b64", b"\0\xff"),
    ("hex:3432", "data", b"42"), ("@FILE", "data", b'["of a file"]'), ("{", "text", b"{"),
])
def test_push_passes_its_data_to_the_letter(server, user, tmp_path, data, json_form, payload):
    binary, text = server.client(user), server.client(user, mode="json")
    file = tmp_path / "data"
    file.write_bytes(b'["of a file"]')
    arguments = [] if data is None else [data.replace("@FILE", f"@{file}")]
    ran = ctl(server, "push", user, 110, *arguments)
    assert (ran.status, ran.err) == (DONE, "")
    assert ran.out == f"user {user} is online on 1 node: delivered 2\n"
    assert binary.recv_message().payload == payload
    assert text.recv_message().form == json_form


def test_push_tells_what_became_of_it(make_server):
    server = make_server(send_buffer=16384, queue_limit=65536)
    server.client("slow", receive_buffer=4096)
    said = set()
    while "dropped" not in (ran := ctl(server, "push", "slow", 110, "." * 8000)).out:
        assert ran.status == DONE
        said.add(ran.out)
    assert said == {"user slow is online on 1 node: delivered 1\n",
                    "user slow is online on 1 node: delivered 0, queued 1\n"}
    assert ran.out == "user slow is online on 1 node: delivered 0, dropped 1 (slow)\n"


def test_what_the_server_refuses_is_3_with_its_reason(server, user):
    for arguments, reason in ((["push", user, 16777216], "16777215"),
                              (["push", "x" * 64, 110], "user must be a string of 1 to 63 bytes"),
                              (["kick", "x" * 64], "user must be a string of 1 to 63 bytes"),
                              (["who", "x" * 64], "not a user name")):
        ran = ctl(server, *arguments)
        assert (ran.status, ran.out) == (REFUSED, "")
        assert reason in ran.err
    ran = ctl(server, "--json", "kick", "x" * 64)
    assert ran.status == REFUSED and "error" in json.loads(ran.out)


def test_push_without_redis_is_3(make_server, own_redis):
    redis = own_redis().start()
    server = make_server(redis_server=redis)
    server.expect_log("(?i)redis|link")
    redis.kill()
    ran = ctl(server, "push", "u", 110)
    assert ran.status == REFUSED and "Redis" in ran.err


# reload, upgrade: the true outcome.

def test_reload_ends_when_every_worker_has_the_new_file(changing):
    server = changing(workers=3, heartbeat=25)
    client, before = server.client("u"), server.worker_pids()
    write_conf(server.conf_path, {**server.config, "heartbeat": 7, "max_connections": 60},
               server.opcodes)
    ran = ctl(server, "reload")
    assert (ran.status, ran.err) == (DONE, "")
    assert not set(before) & set(server.worker_pids())
    assert ran.out.startswith("reload 1 done: 3 workers run with the new push.conf\n")
    assert "  max_connections: keeps its value until a restart\n" in ran.out
    assert "an upgrade will be refused" in ran.out, "reported now and not when it is tried"
    assert server.client("v").hello["heartbeat"] == 7
    client.expect_silence()
    ran = ctl(server, "--json", "reload")
    report = json.loads(ran.out)
    assert (ran.status, report["number"], report["outcome"]) == (DONE, 2, "done")
    assert re.search(r"last reload +done at \d{4}-\d\d-\d\d ", ctl(server, "status").out)


def test_refused_reload_prints_the_mistakes_with_their_lines(make_server):
    server = make_server()
    server.expect_log("reload_refused")
    before = server.worker_pids()
    good = server.conf_path.read_text()
    line = good.count("\n") + 1
    server.conf_path.write_text(good + "heartbeat = 0\nno_such_key = 1\n")
    ran = ctl(server, "reload")
    assert (ran.status, ran.out) == (REFUSED, "")
    mistakes = ran.err.strip().split("\n")
    assert len(mistakes) == 3 and "nothing has changed" in mistakes[0]
    assert mistakes[1].startswith(f"  {server.conf_path}:{line}: heartbeat")
    assert mistakes[2].startswith(f"  {server.conf_path}:{line + 1}: no_such_key")
    assert server.worker_pids() == before
    ran = ctl(server, "--json", "reload")
    assert ran.status == REFUSED and json.loads(ran.out)["outcome"] == "refused"


def test_an_outcome_that_does_not_come_is_2(changing):
    server = changing(workers=2)
    slow = server.admin.workers()[1]["pid"]
    os.kill(slow, signal.SIGSTOP)
    try:
        ran = ctl(server, "--timeout", 1, "reload")
        assert ran.status == UNREACHABLE and "no outcome within 1 s" in ran.err
    finally:
        os.kill(slow, signal.SIGCONT)


def test_upgrade_ends_when_the_new_version_serves(installed):  # noqa: F811
    server = installed(workers=2)
    client, before = server.client("u"), server.worker_pids()
    install(server)
    ran = ctl(server, "upgrade")
    assert (ran.status, ran.err) == (DONE, "")
    assert re.match(r"upgrade 1 done: wspushd (\S+) has replaced \1\n", ran.out)
    assert not set(before) & set(server.worker_pids())
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


@pytest.mark.parametrize("script, reason", [
    (None, "No such file or directory"), ("#!/bin/sh\nkill -SEGV $$\n", "signal 11"),
    ("#!/bin/sh\necho too old; exit 1\n", "too old")], ids=["missing", "crash", "words"])
def test_refused_upgrade_prints_why_and_the_old_version_serves(installed, script,  # noqa: F811
                                                               reason):
    server = installed()
    server.expect_log("upgrade_refused")
    client, before = server.client("u"), server.worker_pids()
    if script:
        install(server, script)
    else:
        os.unlink(server.binary)
    ran = ctl(server, "upgrade")
    assert (ran.status, ran.out) == (REFUSED, "")
    assert "the upgrade was refused, and nothing has changed:\n  " in ran.err and reason in ran.err
    assert server.worker_pids() == before
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1


def test_a_server_that_is_started_again_meanwhile_has_not_done_it(changing):
    server = changing(workers=2)
    server.expect_log("master_died")
    slow = server.admin.workers()[1]["pid"]
    os.kill(slow, signal.SIGSTOP)
    reload = subprocess.Popen([WSPUSHCTL, "--admin", server.config["admin"], "reload"],
                              stderr=subprocess.PIPE, preexec_fn=die_with_us)
    wait_for(lambda: server.log().count("event=worker_started") == 3, "the other's successor")
    workers = server.worker_pids()
    os.kill(server.pid, signal.SIGKILL)
    os.kill(slow, signal.SIGCONT)
    server.wait_exit()
    wait_for(lambda: not any(map(alive, workers)), "the workers to notice")
    server.start()
    assert b"restarted before the reload ended" in reload.communicate(timeout=TIMEOUT)[1]
    assert reload.returncode == REFUSED


# drain.

@pytest.mark.parametrize("option, code, status, says", [
    ([], 1001, 0, "the server has stopped\n"),
    (["--restart"], 1012, 3, "the server has stopped, and expects to be restarted\n")],
    ids=["for good", "restart"])
def test_drain_ends_when_the_server_has(make_server, option, code, status, says):
    server = make_server(drain_timeout=5)
    client = server.client("u")
    drain = subprocess.Popen([WSPUSHCTL, "--admin", server.config["admin"], "drain", *option],
                             stdout=subprocess.PIPE, preexec_fn=die_with_us)
    assert client.recv_message().op == BYE
    assert drain.poll() is None, "the client is still there"
    client.expect_close(code)
    assert drain.communicate(timeout=TIMEOUT)[0].decode() == says
    assert drain.returncode == DONE
    assert server.wait_exit() == status


def test_drain_of_a_server_that_stops_is_3(make_server):
    server = make_server(drain_timeout=30)
    client = server.client("u")
    server.signal(signal.SIGTERM)
    assert client.recv_message().op == BYE
    ran = ctl(server, "drain")
    assert ran.status == REFUSED and "the server is stopping" in ran.err
    client.expect_close(1001)
    assert server.wait_exit() == 0
