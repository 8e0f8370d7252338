"""Starting, stopping, the command line and the addresses to listen on."""

import fcntl
import os
import re
import signal
import socket
import stat
import time

import pytest

from harness import frames as ws
from harness.client import BYE, PING
from harness.http import upgrade_head
from harness.net import can_connect, free_port
from harness.process import children
from harness.server import Raw, opcode, run_wspushd, write_conf
from harness.wait import SLACK, wait_for

MARGIN = 10 * SLACK


def goodbye(client, drain_timeout):
    """BYE with a delay of the client's own, and then 1001. Returns the delay."""
    message = client.recv_message()
    while message.op != BYE:
        message = client.recv_message()
    bye = message.json()
    assert set(bye) >= {"reason", "reconnect_ms"}
    assert isinstance(bye["reason"], str) and bye["reason"]
    assert type(bye["reconnect_ms"]) is int and 0 <= bye["reconnect_ms"] <= 60_000
    client.expect_close(1001, timeout=drain_timeout + MARGIN)
    return bye["reconnect_ms"]


# Stopping.

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_says_bye_then_1001_and_exits_0_in_time(make_server, number):
    server = make_server(drain_timeout=2)
    clients = [server.client(f"u{n}", ("binary", "json")[n % 2]) for n in range(40)]
    start = time.monotonic()
    server.signal(number)
    delays = [goodbye(client, 2) for client in clients]
    assert server.wait_exit() == 0
    assert time.monotonic() - start < 2 + MARGIN
    assert len(set(delays)) > 5, "each client has its own delay"
    assert not can_connect(server.address)


def test_stop_closes_echo_connections_with_1001(make_server):
    server = make_server(drain_timeout=1)
    client = server.echo_client()
    server.signal(signal.SIGTERM)
    client.expect_close(1001)
    assert server.wait_exit() == 0


def test_stop_without_clients_is_at_once(make_server):
    server = make_server(drain_timeout=60)
    start = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait_exit(timeout=15 * SLACK) == 0
    assert time.monotonic() - start < 15 * SLACK


def test_stop_does_not_wait_for_clients_that_do_not_read_or_answer(make_server):
    server = make_server(drain_timeout=1, send_buffer=16384)
    deaf = [server.client(f"deaf{n}", receive_buffer=4096) for n in range(3)]
    half = server.raw()
    half.send_bytes(upgrade_head()[:30])
    silent = server.raw()
    server.redis.publish_many([(server.channel("all"), b"\0\0\0\x6e" + b"x" * 20_000)] * 10)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert len(deaf) == 3 and silent.fileno() >= 0


def test_stop_while_redis_is_down(make_server, own_redis):
    redis = own_redis().start()
    server = make_server(redis_server=redis, drain_timeout=1)
    server.expect_log("(?i)redis|link")
    client = server.client("u")
    redis.kill()
    server.signal(signal.SIGTERM)
    goodbye(client, 1)
    assert server.wait_exit() == 0


def test_second_signal_does_no_harm(make_server):
    server = make_server(drain_timeout=2)
    client = server.client("u")
    server.signal(signal.SIGTERM)
    assert client.recv_message().op == BYE
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGINT)
    assert server.wait_exit() == 0


def test_signal_to_the_whole_group_is_one_clean_stop(make_server):
    """Ctrl-C in a terminal, and systemd's KillMode=control-group, reach the workers too."""
    server = make_server(drain_timeout=1)
    client = server.client("u")
    for pid in [*children(server.pid), server.pid]:
        os.kill(pid, signal.SIGINT)
    goodbye(client, 1)
    assert server.wait_exit() == 0


def test_new_clients_are_not_let_in_while_stopping(make_server):
    server = make_server(drain_timeout=1)
    client = server.client("u")
    server.signal(signal.SIGTERM)
    assert client.recv_message().op == BYE
    late = None
    try:
        late = server.raw()
        late.send_upgrade("late")
        assert late.recv_response().status == 503
    except (OSError, AssertionError) as refusal:
        assert late is None or late.ended or isinstance(refusal, OSError), refusal
    assert server.wait_exit() == 0


def test_signals_that_mean_nothing_do_nothing(make_server):
    server = make_server()
    client = server.client("u")
    for number in (signal.SIGPIPE, signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG):
        server.signal(number)
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGPIPE)
    client.expect_silence()


# The command line.

@pytest.fixture
def conf(tmp_path):
    """Writes a push.conf; returns its path."""
    def make(opcodes=(), **config):
        base = {"listen": [f"127.0.0.1:{free_port()}"], "admin": f"127.0.0.1:{free_port()}",
                "auth": ["none"]}
        return write_conf(tmp_path / "push.conf", {**base, **config}, opcodes)
    return make


def test_V_prints_the_version():
    status, text = run_wspushd("-V")
    assert status == 0
    assert re.search(r"wspushd.*\d+\.\d+\.\d+", text)


def test_version_is_the_one_in_hello(server, user):
    _, text = run_wspushd("-V")
    version = re.search(r"\d+\.\d+\.\d+\S*", text)[0]
    assert server.client(user).hello["server"] == "wspushd/" + version
    stats = server.admin.stats()
    assert stats["version"] == version and stats["build"].startswith(version)
    assert text == f"wspushd {version} (build {stats['build']})\n"


def test_t_accepts_a_good_file(conf):
    status, text = run_wspushd("-t", "-c", conf(
        workers=2, opcodes=[opcode(110, name="add-friend", to="stream:push:requests",
                                   payload="json", max=4096, rate=10),
                            opcode(111, name="get-info", to="echo")]))
    assert status == 0, text


BAD_CONFS = [
    ({"heartbeat": 0}, "heartbeat"),
    ({"heartbeat": 3601}, "heartbeat"),
    ({"heartbeat": Raw("soon")}, "heartbeat"),
    ({"no_such_key": 1}, "no_such_key"),
    ({"slow_policy": "wait"}, "slow_policy"),
    ({"auth": ["faith"]}, "faith"),
    ({"listen": ["127.0.0.1"]}, "listen"),
    ({"listen": ["127.0.0.1:99999"]}, "listen"),
    ({"listen": ["nowhere:80"]}, "listen"),
    ({"redis": "http://127.0.0.1:6379"}, "redis"),
    ({"redis": "redis://127.0.0.1:x"}, "redis"),
    ({"trusted_proxies": ["10.0.0.0/33"]}, "trusted_proxies"),
    ({"max_message": 1}, "max_message"),
    ({"workers": 65}, "workers"),
    ({"console": Raw("maybe")}, "console"),
    ({"listen": ["0.0.0.0:8080"]}, "none"),
]


@pytest.mark.parametrize("bad, word", BAD_CONFS, ids=lambda value: str(value)[:40])
def test_t_refuses_a_bad_value_with_its_line(conf, bad, word):
    path = conf(**bad)
    status, text = run_wspushd("-t", "-c", path)
    assert status == 1, text
    assert re.search(r"push\.conf:\d+", text), text
    assert word in text, text


def test_line_number_is_that_of_the_mistake(tmp_path):
    path = tmp_path / "push.conf"
    path.write_text('# a comment\nauth = {"none"}\nlisten = {"127.0.0.1:8080"}\n\nheartbeat = 0\n')
    status, text = run_wspushd("-t", "-c", path)
    assert status == 1
    assert re.search(r"push\.conf:5\b.*heartbeat", text), text


@pytest.mark.parametrize("section", [
    'opcode 99 { to = "echo" }', 'opcode 16777216 { to = "echo" }', 'opcode x { to = "echo" }',
    'opcode 110 { to = "nowhere" }', 'opcode 110 { }', 'opcode 110 { to = "stream:" }',
    'opcode 110 { to = "echo" payload = "xml" }',
    'opcode 110 { to = "echo" }\nopcode 110 { to = "drop" }',
])
def test_t_refuses_a_bad_opcode_section(conf, section):
    status, text = run_wspushd("-t", "-c", conf(opcodes=[section]))
    assert status == 1, text
    assert "push.conf:" in text


@pytest.mark.parametrize("text", ["heartbeat = ", "listen = {", "}", 'path = "/ws', "\0", "= 5",
                                  "a b c"])
def test_t_refuses_a_file_that_is_no_configuration(tmp_path, text):
    path = tmp_path / "push.conf"
    path.write_text('auth = {"none"}\n' + text + "\n")
    status, out = run_wspushd("-t", "-c", path)
    assert status == 1, out
    assert "push.conf" in out


def test_all_mistakes_are_told_at_once(conf):
    status, text = run_wspushd("-t", "-c", conf(heartbeat=0, max_message=1, workers=65))
    assert status == 1
    for key in ("heartbeat", "max_message", "workers"):
        assert key in text


def test_file_that_is_not_there_is_status_1(tmp_path):
    status, text = run_wspushd("-c", tmp_path / "none.conf")
    assert status == 1 and "none.conf" in text
    assert run_wspushd("-t", "-c", tmp_path / "none.conf")[0] == 1


def test_bad_file_does_not_start(conf):
    status, text = run_wspushd("-c", conf(heartbeat=0))
    assert status == 1 and "heartbeat" in text


@pytest.mark.parametrize("arguments", [["-x"], ["--no-such"], ["-c"], ["-o"], ["extra"]])
def test_bad_arguments_are_status_1(arguments):
    status, text = run_wspushd(*arguments)
    assert status == 1 and text


def test_o_overrides_the_file(make_server):
    server = make_server(heartbeat=20, arguments=[
        "-o", "heartbeat=7", "-o", "path=/socket",
        "-o", "origins=https://a.example,https://b.example"])
    client = server.client("u", path="/socket", extra=[("Origin", "https://b.example")])
    assert client.hello["heartbeat"] == 7


@pytest.mark.parametrize("override", ["heartbeat=0", "heartbeat", "no_such_key=1",
                                      "slow_policy=wait"])
def test_bad_override_is_status_1_and_named(conf, override):
    status, text = run_wspushd("-t", "-c", conf(), "-o", override)
    assert status == 1
    assert f"-o {override}" in text, text


# Addresses.

def serves(server, address):
    client = server.client("u", address=address)
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1
    client.close()


def test_port_that_is_taken_is_status_2_and_named(conf, redis):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, text = run_wspushd("-c", conf(listen=[f"127.0.0.1:{port}"], redis=redis.url))
        assert status == 2, text
        assert str(port) in text


def test_admin_port_that_is_taken_is_status_2_and_named(conf, redis):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, text = run_wspushd("-c", conf(admin=f"127.0.0.1:{port}", redis=redis.url))
        assert status == 2, text
        assert str(port) in text


def test_two_servers_do_not_share_a_port(make_server, conf, redis):
    server = make_server()
    status, text = run_wspushd("-c", conf(listen=server.config["listen"], redis=redis.url))
    assert status == 2, text


def test_port_is_free_again_at_once_after_a_stop(make_server):
    server = make_server()
    client = server.client("u")
    server.signal(signal.SIGTERM)
    client.expect_close(1001, skip_data=True)
    assert server.wait_exit() == 0
    server.start()
    serves(server, server.address)


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_ipv6(make_server):
    server = make_server(listen=[f"[::1]:{free_port()}"])
    client = server.client("u")
    assert server.admin.user("u")[0]["address"].startswith("[::1]:")
    client.close()
    serves(server, server.address)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_ipv4_and_ipv6_at_one_port_number(make_server):
    port = free_port()
    server = make_server(listen=[f"127.0.0.1:{port}", f"[::1]:{port}"])
    for address in server.addresses:
        serves(server, address)


def test_unix_socket_and_tcp_at_once(make_server, tmp_path):
    server = make_server(listen=[f"unix:{tmp_path}/ws.sock", f"127.0.0.1:{free_port()}"])
    for address in server.addresses:
        serves(server, address)
    client = server.client("u", address=server.addresses[0])
    assert len(server.admin.user("u")) == 1
    client.expect_silence()


def test_admin_on_a_unix_socket(make_server, tmp_path):
    server = make_server(admin=f"unix:{tmp_path}/admin.sock")
    server.client("u")
    assert server.admin.connections() == 1


def test_help_and_version_have_their_words():
    for short, word in (("-h", "--help"), ("-V", "--version")):
        assert run_wspushd(word) == run_wspushd(short)
        assert run_wspushd(word)[0] == 0
    assert run_wspushd("--nonsense")[0] == 1


def test_a_unix_sockets_mode_is_settable(make_server, tmp_path):
    server = make_server(listen=[f"unix:{tmp_path}/ws.sock"], listen_mode="0660",
                         admin=f"unix:{tmp_path}/admin.sock", admin_mode="600")
    assert stat.S_IMODE((tmp_path / "ws.sock").stat().st_mode) == 0o660
    assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600
    server.workers_may_change = True
    server.config.update(listen_mode="0666", admin_mode="")
    server.rewrite()
    server.signal(signal.SIGHUP)
    wait_for(lambda: "event=reloaded" in server.log(), "the reload")
    assert stat.S_IMODE((tmp_path / "ws.sock").stat().st_mode) == 0o666
    assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600, "as it was"


@pytest.mark.parametrize("mode", ["660x", "888", "1777", "60", "rw-rw----"])
def test_a_mode_that_is_none_is_named(conf, mode):
    status, text = run_wspushd("-t", "-c", conf(listen_mode=mode))
    assert status == 1 and "listen_mode" in text and "octal" in text


def test_a_removed_unix_socket_is_made_again_by_a_reload(make_server, tmp_path):
    path, admin = tmp_path / "ws.sock", tmp_path / "admin.sock"
    server = make_server(listen=[f"unix:{path}", f"127.0.0.1:{free_port()}"], admin=f"unix:{admin}")
    server.workers_may_change = True
    client = server.client("there", address=str(path))
    path.unlink(), admin.unlink()
    server.expect_log("listen_failed|reload_refused")
    listen = server.config["listen"]
    with socket.create_server(("127.0.0.1", 0)) as taken:  # a reload that fails leaves no file behind
        server.config["listen"] = [*listen, f"127.0.0.1:{taken.getsockname()[1]}"]
        server.rewrite()
        server.signal(signal.SIGHUP)
        wait_for(lambda: "outcome=refused" in server.log(), "the refusal")
        assert not path.exists() and not admin.exists()
    server.config["listen"] = listen
    server.rewrite()
    server.signal(signal.SIGHUP)
    wait_for(lambda: "event=reloaded" in server.log(), "the reload")
    serves(server, str(path))
    assert server.push("there", 110, data=1) == 1 and client.recv_message().json() == 1
    server.stop()
    assert not path.exists() and not admin.exists()


def test_stale_unix_socket_of_a_killed_server_is_replaced(make_server, tmp_path):
    path = tmp_path / "ws.sock"
    server = make_server(listen=[f"unix:{path}"])
    server.expect_log("master_died")
    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()
    assert stat.S_ISSOCK(path.stat().st_mode), "left by the killed server"
    server.start()
    serves(server, str(path))


def test_live_unix_socket_is_not_taken_away(make_server, conf, redis, tmp_path):
    path = tmp_path / "ws.sock"
    server = make_server(listen=[f"unix:{path}"])
    status, text = run_wspushd("-c", conf(listen=[f"unix:{path}"], redis=redis.url))
    assert status == 2, text
    assert "ws.sock" in text
    serves(server, str(path))


def test_file_that_is_no_socket_is_not_taken_away(conf, redis, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    status, text = run_wspushd("-c", conf(listen=[f"unix:{path}"], redis=redis.url))
    assert status == 2, text
    assert path.read_text() == "data"


def test_without_admin_there_is_none(make_server, redis):
    server = make_server(start=False, admin="")
    server.launch()
    wait_for(lambda: can_connect(server.address), "the listener")

    def let_in():
        client = server.raw()
        client.send_upgrade("u")
        return client if client.recv_response().status == 101 else None

    client = wait_for(let_in, "the server to be ready", interval=0.05)
    client.expect_hello()
    client.send_message(PING, b"p")
    assert client.recv_message().payload == b"p"
    client.send_frame(ws.CLOSE, ws.close_payload(1000))
    client.expect_close(1000)
    server.stop()


# A log that nobody reads.

def read_what_there_is(fd, log):
    try:
        log += os.read(fd, 1 << 16)
    except BlockingIOError:
        pass
    return log


def test_log_that_nobody_reads_stops_nothing(make_server):
    """stderr is a pipe whose reader has stopped: clients are served, a dead worker is replaced, TERM stops."""
    server = make_server(start=False)
    reader, writer = os.pipe() # close-on-exec
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    server.start(stderr=writer)
    os.close(writer)
    client = server.client("u")
    lost = server.admin.counter("log_lines_lost_total")
    for _ in range(60):
        stranger = server.raw()
        stranger.send_upgrade("\x01")
        assert stranger.recv_response().status == 401
        stranger.close()
    wait_for(lambda: server.admin.counter("log_lines_lost_total") > lost, "lines to be lost")
    server.workers_may_change = True
    server.kill_worker(server.admin.workers()[0])
    assert server.push("u", 110, data=1) == 1
    assert client.recv_message().json() == 1
    os.set_blocking(reader, False)
    log = bytearray()
    wait_for(lambda: b"event=log_lost lines=" in read_what_there_is(reader, log), "log_lost")
    client.close()
    server.stop()
    os.close(reader)
