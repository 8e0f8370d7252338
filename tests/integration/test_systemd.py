"""wspushd under systemd: both protocols with the real binary, the units checked by
systemd-analyze, and `make install`."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness.build import built, install
from harness.net import can_connect, free_port
from harness.process import die_with_us
from harness.systemd import NotifySocket, passing
from harness.wait import ROOT, SANITIZED, SLACK, TIMEOUT, WSPUSHD, wait_for
from test_wspushctl import DONE, REFUSED, ctl

UNITS = ROOT / "scripts/systemd"

# -D: the tracer is the grandchild, so that the server is ours, with the pid that we know.
STRACE = ["strace", "-D", "-f", "-qq", "-e", "signal=none"]


@pytest.fixture
def notify(tmp_path):
    made = []

    def make(name=None):
        made.append(NotifySocket(name or str(tmp_path / "notify")))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def listening():
    """listening(address) is a socket as a .socket unit would open it."""
    made = []

    def make(address, family=socket.AF_INET, listen=True):
        sock = socket.socket(family, socket.SOCK_STREAM)
        made.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        if listen:
            sock.listen(16)
        return sock

    yield make
    for sock in made:
        sock.close()


# sd_notify.

def test_ready_comes_once_every_worker_accepts(make_server, notify):
    told = notify()
    server = make_server(start=False, workers=3)
    server.start(env={"NOTIFY_SOCKET": told.name})
    assert told.expect("READY") == {"READY": "1"}
    assert told.expect("STATUS", "serving: 3 of 3 Redis links up, 0 connections")


def test_an_abstract_socket_will_do(make_server, notify):
    told = notify(f"@wspushd-test-{os.getpid()}")
    make_server(start=False).start(env={"NOTIFY_SOCKET": told.name})
    told.expect("READY", "1")


def test_ready_does_not_wait_for_redis_but_status_tells(make_server, own_redis, notify):
    told, redis = notify(), own_redis()
    server = make_server(start=False, redis_server=redis)
    server.start(ready=False, env={"NOTIFY_SOCKET": told.name})
    told.expect("READY", "1")
    assert told.expect("STATUS")["STATUS"] == \
        "waiting for Redis: 0 of 2 Redis links up, 0 connections"
    redis.start()
    told.expect("STATUS", "serving: 2 of 2 Redis links up, 0 connections")


def test_status_counts_the_connections(make_server, notify):
    told = notify()
    server = make_server(start=False).start(env={"NOTIFY_SOCKET": told.name})
    server.client("1"), server.client("2")
    told.expect("STATUS", "serving: 2 of 2 Redis links up, 2 connections")


def test_stopping_comes_first_and_asks_for_the_time_that_it_takes(make_server, notify):
    told = notify()
    server = make_server(start=False, drain_timeout=3).start(env={"NOTIFY_SOCKET": told.name})
    told.expect("READY")
    client = server.client("1")
    server.signal(signal.SIGTERM)
    stopping = told.expect("STOPPING", "1")
    assert stopping["STATUS"] == "draining"
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > (3 + 5) * 1000000
    client.expect_close(1001, skip_data=True)
    assert server.wait_exit() == 0
    assert told.count("READY") == 1


def test_the_watchdog_is_fed_twice_in_its_period(make_server, notify):
    told = notify()
    env = {"NOTIFY_SOCKET": told.name, "WATCHDOG_USEC": "1000000"}
    make_server(start=False).start(env=env)
    began = time.monotonic()
    while told.count("WATCHDOG") < 6:     # the first at once
        told.next()
    assert 2.0 < time.monotonic() - began < 4.0 * SLACK
    times = [when for when, message in told.messages if "WATCHDOG" in message]
    assert max(b - a for a, b in zip(times, times[1:])) < 1.0 * SLACK


def test_a_watchdog_meant_for_another_process_is_not_fed(make_server, notify):
    told = notify()
    env = {"NOTIFY_SOCKET": told.name, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
    make_server(start=False).start(env=env)
    told.expect("STATUS", "serving: 2 of 2 Redis links up, 0 connections")
    assert told.count("WATCHDOG") == 0


def test_a_master_that_hangs_does_not_feed_it(make_server, notify):
    told = notify()
    env = {"NOTIFY_SOCKET": told.name, "WATCHDOG_USEC": "200000"}
    server = make_server(start=False).start(env=env)
    told.expect("WATCHDOG")
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            while True:
                told.next(timeout=0.5)
    finally:
        server.signal(signal.SIGCONT)
    told.expect("WATCHDOG")


def test_the_watchdog_is_fed_after_an_audit_of_the_descriptors(make_server, notify):
    """The audit that follows a worker's death (worker/audit.h) once took the master's notify socket
    for a leak."""
    told = notify()
    env = {"NOTIFY_SOCKET": told.name, "WATCHDOG_USEC": "1000000"}
    server = make_server(start=False, log_level="debug").start(env=env)
    server.workers_may_change = True
    server.kill_worker(server.admin.workers()[1])
    wait_for(lambda: "event=audited" in server.log(), "the audit")
    fed = told.count("WATCHDOG")
    while told.count("WATCHDOG") < fed + 2:
        told.next(timeout=1.5 * SLACK)
    assert "descriptor_reclaimed" not in server.log()
    assert "descriptor_unknown" not in server.log()


@pytest.mark.parametrize("name", ["relative", "/nobody/listens/here", "/" + "x" * 200, ""])
def test_a_socket_that_cannot_be_reached_does_no_harm(make_server, name):
    server = make_server(start=False).start(env={"NOTIFY_SOCKET": name})
    server.client("1").expect_silence()


# Reload and upgrade, as systemd's Type=notify-reload wants them told.

def expect_change(told):
    """RELOADING with the time, then READY; nothing is said of the pid, which stays."""
    reloading = told.expect("RELOADING", "1")
    assert set(reloading) == {"RELOADING", "MONOTONIC_USEC"}
    age = time.clock_gettime(time.CLOCK_MONOTONIC) - int(reloading["MONOTONIC_USEC"]) / 1e6
    assert 0 <= age < 10 * SLACK
    assert told.expect("READY") == {"READY": "1"}
    assert told.count("MAINPID") == 0


def test_a_reload_is_told_before_and_after(make_server, notify):
    told = notify()
    server = make_server(start=False, workers=3).start(env={"NOTIFY_SOCKET": told.name})
    server.workers_may_change = True
    told.expect("READY")
    for _ in range(2):
        before = server.worker_pids()
        server.signal(signal.SIGHUP)
        expect_change(told)
        assert not set(before) & set(server.worker_pids())


def test_a_reload_is_over_only_when_every_successor_serves(make_server, notify):
    told = notify()
    server = make_server(start=False, workers=2).start(env={"NOTIFY_SOCKET": told.name})
    server.workers_may_change = True
    told.expect("READY")
    first, slow = server.worker_pids()
    os.kill(slow, signal.SIGSTOP)
    server.signal(signal.SIGHUP)
    told.expect("RELOADING")
    wait_for(lambda: first not in server.worker_pids(), "the other worker to leave")
    with pytest.raises(TimeoutError):
        while True:
            assert "READY" not in told.next(timeout=0.3)
    os.kill(slow, signal.SIGCONT)
    told.expect("READY", "1")


def test_a_reload_that_is_refused_is_over_too(make_server, notify):
    told = notify()
    server = make_server(start=False).start(env={"NOTIFY_SOCKET": told.name})
    server.expect_log("reload_refused")
    told.expect("READY")
    with open(server.conf_path, "a") as conf:
        conf.write("heartbeat = 0\n")
    server.signal(signal.SIGHUP)
    expect_change(told)


def test_an_upgrade_is_told_by_both_versions(make_server, notify, tmp_path):
    told = notify()
    server = make_server(start=False)
    server.binary = tmp_path / "wspushd"
    shutil.copy(WSPUSHD, server.binary)
    server.start(env={"NOTIFY_SOCKET": told.name, "WATCHDOG_USEC": "1000000"})
    server.workers_may_change = True
    server.expect_log("upgrade_refused")
    told.expect("READY")
    server.signal(signal.SIGUSR2)
    expect_change(told)
    told.expect("WATCHDOG")
    server.binary.chmod(0o644)
    server.signal(signal.SIGUSR2)
    expect_change(told)


# sd_listen_fds.

def test_passed_sockets_are_used_instead_of_new_ones(make_server, listening, tmp_path):
    tcp, admin = listening(("127.0.0.1", 0)), listening(("127.0.0.1", 0))
    path = str(tmp_path / "ws.sock")
    unix = listening(path, socket.AF_UNIX)
    port = tcp.getsockname()[1]
    own = free_port()
    server = make_server(start=False, listen=[f"127.0.0.1:{port}", f"127.0.0.1:{own}",
                                              "unix:" + path],
                         admin=f"127.0.0.1:{admin.getsockname()[1]}")
    server.start(**passing([unix, tcp, admin], ["ws-unix", "ws-tcp", "admin"]))
    for address in server.addresses:
        assert server.client("1", address=address).hello["user"] == "1"
    log = server.log()
    assert re.search(rf"event=inherited address=127.0.0.1:{port} fd=4 name=ws-tcp", log)
    assert re.search(r"event=inherited address=unix:\S+ fd=3 name=ws-unix", log)
    assert re.search(r"event=inherited address=127.0.0.1:\d+ fd=5 name=admin", log)
    assert log.count("event=inherited") == 3
    server.stop()
    assert os.path.exists(path), "the file is systemd's"
    assert can_connect(path) and can_connect(("127.0.0.1", port)), "systemd listens on"
    assert not can_connect(("127.0.0.1", own))


def test_passed_sockets_outlive_an_upgrade_and_one_that_fails(make_server, listening, tmp_path):
    tcp, admin = listening(("127.0.0.1", 0)), listening(("127.0.0.1", 0))
    server = make_server(start=False, listen=[f"127.0.0.1:{tcp.getsockname()[1]}"],
                         admin=f"127.0.0.1:{admin.getsockname()[1]}")
    server.binary = tmp_path / "wspushd"
    server.workers_may_change = True
    server.expect_log("rolled_back|died|killed|ok$|can take over")
    install(server)
    server.start(env={"WSPUSHD_FAULT": "supervisor fault:abort"}, **passing([tcp, admin], binary=server.binary))
    client = server.client("first")
    for program, status in [("wspushd", DONE), ("wspushd", DONE), ("wspushd-faults", REFUSED),
                            ("wspushd", DONE), ("wspushd-faults", REFUSED)]:
        install(server, built(program))
        assert ctl(server, "upgrade").status == status
        assert server.client(program).hello["user"] == program
    assert server.push("first", 110, data=1) == 1
    assert client.recv_message().json() == 1
    assert server.log().count("event=inherited") == 2 * 8, "by the first process and every successor"


def test_clients_that_come_during_a_restart_wait_instead_of_being_refused(make_server, listening):
    tcp = listening(("127.0.0.1", 0))
    server = make_server(start=False, listen=[f"127.0.0.1:{tcp.getsockname()[1]}"])
    server.start(**passing([tcp]))
    server.client("before")
    server.stop()
    early = server.raw()
    early.send_upgrade("early")
    server.start(**passing([tcp]))
    response = early.recv_response()
    assert response.status in (101, 503)
    if response.status == 503:  # the links to Redis take a few milliseconds longer
        assert response.json()["error"] == "not_ready" and response.header("Retry-After")


def test_a_socket_for_both_families_stands_for_any_ipv4_address(make_server, listening):
    both = listening(("::", 0), socket.AF_INET6)
    port = both.getsockname()[1]
    server = make_server(start=False, listen=[f"0.0.0.0:{port}"], allow_insecure=True)
    server.start(**passing([both]))
    assert server.client("4", address=("127.0.0.1", port)).hello["user"] == "4"
    assert server.client("6", address=("::1", port)).hello["user"] == "6"


def test_a_bound_socket_that_does_not_listen_yet_will_do(make_server, listening):
    bound = listening(("127.0.0.1", 0), listen=False)
    server = make_server(start=False, listen=[f"127.0.0.1:{bound.getsockname()[1]}"])
    server.start(**passing([bound]))
    server.client("1").expect_silence()


def test_sockets_meant_for_another_process_are_left_alone(make_server, listening):
    other = listening(("127.0.0.1", 0))
    server = make_server(start=False)
    server.start(**passing([other], pid=1))
    server.client("1").expect_silence()
    assert "event=inherited" not in server.log()


def test_a_socket_that_push_conf_does_not_name_stops_the_start(make_server, listening):
    stray = listening(("127.0.0.1", 0))
    server = make_server(start=False)
    server.expect_log("inherit_failed")
    server.launch(**passing([stray], ["stray"]))
    assert server.wait_exit() == 2
    assert re.search(rf"event=inherit_failed fd=3 name=stray "
                     rf"address=127.0.0.1:{stray.getsockname()[1]} why=\"push.conf names",
                     server.log())


def test_a_passed_descriptor_that_is_no_stream_socket_stops_the_start(make_server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        server = make_server(start=False)
        server.expect_log("inherit_failed")
        server.launch(**passing([udp]))
        assert server.wait_exit() == 2


# The units.

def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", "--no-pager", *map(str, arguments)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=TIMEOUT)
    return done.returncode, done.stdout


def setting(unit, key):
    return re.findall(rf"^{key}=(.*)$", (UNITS / unit).read_text(), re.M)


def test_the_sandbox_is_tight():
    status, text = analyze("security", "--offline=true", "--threshold=15",
                           UNITS / "wspushd.service")
    assert status == 0, text
    assert float(re.search(r"Overall exposure level for \S+: ([\d.]+)", text)[1]) <= 1.5


def test_a_stop_is_for_good_and_a_restart_says_so():
    """TERM (the default) exits with 0 and stays down; QUIT exits with 3 and comes back."""
    assert setting("wspushd.service", "KillSignal") == []
    assert setting("wspushd.service", "RestartKillSignal") == ["SIGQUIT"]
    assert setting("wspushd.service", "Restart") == ["on-failure"]
    assert setting("wspushd.service", "SuccessExitStatus") == ["3"]
    assert setting("wspushd.service", "RestartForceExitStatus") == ["3"]


def test_the_stop_may_take_as_long_as_the_drain():
    default = int(re.search(r"^drain_timeout\s*= (\d+)", (ROOT / "push.conf").read_text(), re.M)[1])
    assert int(setting("wspushd.service", "TimeoutStopSec")[0]) > default + 5


def allowed_calls():
    """What the unit's SystemCallFilter lets pass, expanded by systemd-analyze."""
    sets, current = {}, None
    for line in analyze("syscall-filter")[1].split("\n"):
        if line.startswith("@"):
            current = sets.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            current.append(line.strip())

    def expand(name):
        if not name.startswith("@"):
            return {name}
        return set().union(*map(expand, sets[name]))

    allowed = set()
    for words in setting("wspushd.service", "SystemCallFilter"):
        names = set().union(*map(expand, words.lstrip("~").split()))
        allowed = allowed - names if words.startswith("~") else allowed | names
    return allowed


def test_the_server_gets_by_with_the_system_calls_that_the_unit_allows(make_server, tmp_path):
    """A life with all that makes unusual calls: a death, a kick, an echo, admin HTTP, a reload, an
    upgrade, a stop."""
    trace = tmp_path / "calls"
    server = make_server(start=False, workers=2)
    # LeakSanitizer cannot work in a process that is traced.
    env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    server.start(command=[*STRACE, "-o", str(trace), str(WSPUSHD)], env=env)
    client = server.client("1")
    server.workers_may_change = True
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.push("1", text="on") == 1 and client.recv_message(), "the push")
    server.echo_client().echo()
    server.publish("ctl", {"kick": "1"})
    client.expect_close(4001, skip_data=True)
    server.admin.metrics()
    server.signal(signal.SIGUSR1)
    for number, path in enumerate(("/api/reload", "/api/upgrade"), start=1):
        assert server.admin.get(path, method="POST").status == 202
        wait_for(lambda number=number: server.log().count("event=changed") == number, path)
    server.stop()
    used = {match[1] for match in re.finditer(r"^\d+\s+(\w+)\(", trace.read_text(), re.M)}
    assert {"accept4", "epoll_ctl", "memfd_create"} <= used
    assert used - allowed_calls() == set()


# make install.

def make(*arguments):
    kind = ["SANITIZE=1"] if SANITIZED else []
    return subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={WSPUSHD.parent}", *kind, *arguments],
                          check=True, capture_output=True, text=True, timeout=TIMEOUT * 5).stdout


def files(directory):
    return {str(path.relative_to(directory)): path.stat().st_mode & 0o777
            for path in directory.rglob("*") if path.is_file()}


TOOLS = ["wspushctl", "wspush", "wspush-bench"]


def test_install_puts_everything_below_destdir_and_uninstall_removes_it(tmp_path):
    where = ["install", f"DESTDIR={tmp_path}", "PREFIX=/usr"]
    make(*where)
    assert files(tmp_path) == {
        "usr/sbin/wspushd": 0o755, "usr/share/man/man8/wspushd.8": 0o644,
        **{f"usr/bin/{tool}": 0o755 for tool in TOOLS},
        **{f"usr/share/man/man1/{tool}.1": 0o644 for tool in TOOLS},
        "usr/share/doc/wspushd/examples/push.conf": 0o644,
        "usr/share/doc/wspushd/prometheus/wspushd.rules.yml": 0o644,
        "usr/share/doc/wspushd/grafana/wspushd.json": 0o644,
        "usr/lib/systemd/system/wspushd.service": 0o644,
        "usr/lib/systemd/system/wspushd.socket": 0o644,
        "etc/wspushd/push.conf": 0o644,
    }
    unit = (tmp_path / "usr/lib/systemd/system/wspushd.service").read_text()
    assert re.findall(r"^ExecStart=(.*)$", unit, re.M) == \
        ["/usr/sbin/wspushd -c /etc/wspushd/push.conf"]
    assert "/usr/local" not in unit

    configuration = tmp_path / "etc/wspushd/push.conf"
    configuration.write_text("# mine\n")
    make(*where)
    assert configuration.read_text() == "# mine\n"
    make("un" + where[0], *where[1:])
    assert files(tmp_path) == {"etc/wspushd/push.conf": 0o644}


def test_what_is_installed_is_what_systemd_can_start(tmp_path):
    make("install", f"PREFIX={tmp_path}/usr", f"SYSCONFDIR={tmp_path}/etc")
    units = tmp_path / "usr/lib/systemd/system"
    status, text = analyze("verify", "--man=no", units / "wspushd.service",
                           units / "wspushd.socket")
    assert (status, text) == (0, "")
    unit = (units / "wspushd.service").read_text()
    for command in re.findall(r"^ExecStartPre=(.*)$", unit, re.M):
        done = subprocess.run(command.split(), capture_output=True, text=True, timeout=TIMEOUT,
                              preexec_fn=die_with_us)
        assert done.returncode == 0, done.stderr
