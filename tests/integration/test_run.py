"""make run: runs the commands that it prints, sends Ctrl-C, and checks that nothing is left."""

import contextlib
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from harness.net import can_connect, free_port
from harness.process import alive, children, mind_signals
from harness.wait import SLACK, wait_for

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60 * SLACK  # it may have to build first
PORTS = {"WSPUSHD_RUN_PORT": "clients", "WSPUSHD_RUN_ADMIN_PORT": "the admin interface",
         "WSPUSHD_RUN_REDIS_PORT": "Redis"}


def descendants(pid):
    """The living processes below a process: {pid: name}."""
    found = {}
    for child in children(pid):
        with contextlib.suppress(OSError):
            found[child] = Path(f"/proc/{child}/comm").read_text().strip()
        found.update(descendants(child))
    return found


class Lines:
    """A process in its own process group; its lines can be waited for."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            preexec_fn=mind_signals, **options)
        self.text = ""
        self._lines = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.text += line
            self._lines.put(line)

    def expect(self, pattern):
        """The next line in which the pattern is found."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line with {pattern!r} in:\n{self.text}")
            if re.search(pattern, line):
                return line

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal_group(self, number):
        """As the terminal does it for Ctrl-C."""
        os.killpg(self.process.pid, number)

    def wait(self):
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still runs after {PATIENCE} s:\n{self.text}")
        self._thread.join(PATIENCE)
        return status

    def destroy(self):
        with contextlib.suppress(ProcessLookupError):
            self.signal_group(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Run(Lines):
    """make run (or scripts/run itself) on free ports, with a private runtime directory."""

    def __init__(self, command, ports):
        self.ports = ports
        # Short, because a unix socket's path may have 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="run-", dir="/tmp"))
        self.family = {}
        super().__init__(command, env={**os.environ, "XDG_RUNTIME_DIR": str(self.directory),
                                       **{name: str(port) for name, port in ports.items()}})

    def await_ready(self):
        self.expect("The server's log:")

        def all_there(): # the last may be `setsid` still
            self.family = descendants(self.process.pid)
            return {"wspushd", "redis-server", "python3"} <= set(self.family.values())

        wait_for(all_there, "server, Redis and backend to run")
        return self

    def pasted(self, pattern):
        """The command that is printed for pasting and contains this."""
        return re.search(rf"^ +(\S*{pattern}.*)$", self.text, re.M)[1]

    def member(self, name):
        """The eldest process of that name: of wspushd the master."""
        return min(pid for pid, comm in self.family.items() if comm == name)

    def check_nothing_left(self):
        for pid, name in self.family.items():
            wait_for(lambda pid=pid: not alive(pid), f"the end of {name} ({pid})")
        for port in self.ports.values():
            assert not can_connect(("127.0.0.1", port))

    def destroy(self):
        super().destroy()
        for pid in self.family:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture
def started():
    """started(thing) destroys it after the test."""
    made = []

    def keep(thing):
        made.append(thing)
        return thing

    yield keep
    for thing in reversed(made):
        thing.destroy()


@pytest.fixture
def run(started):
    """run() starts scripts/run, run("make", "run") that; ports may be given."""
    def start(*command, **ports):
        return started(Run(list(command) or ["scripts/run"],
                           {name: ports.get(name, free_port()) for name in PORTS}))
    return start


def test_what_is_printed_works_when_it_is_pasted(run, started):
    server = run("make", "run").await_ready()
    push = server.pasted("redis-cli")

    def pushed():
        """What redis-cli says to a script; to a terminal: (integer) 1."""
        return subprocess.run(push, shell=True, cwd=ROOT, check=True, capture_output=True,
                              text=True, timeout=PATIENCE).stdout.strip()

    assert pushed() == "0"
    client = started(Lines("exec " + server.pasted("wspush --user"), shell=True))
    client.expect("HELLO .* ready: .*user 42")
    assert pushed() == "1"
    client.expect('← 110 .*{"from":"7","text":"我们都好"}')
    client.type("100 hello")
    client.expect("← 100 .* hello$")
    # The story: the example backend stores it, and tells that 7 is not there.
    client.type('110 {"to":"7","text":"我们都好"}')
    client.expect('← 8 ACCEPTED .*"op": ?110')
    client.expect('← 110 .*{"to": "7", "online": false}')
    server.expect("backend: 42 asks 7 to be friends; 7 is offline")
    client.type("111 {}")
    client.expect('← 111 .*"user": "42".*"friend_requests": \\[\\]')
    assert '"online":true' in subprocess.run(server.pasted("curl -s"), shell=True, check=True,
                                             capture_output=True, text=True).stdout
    client.expect("← 110 .*hello")

    page = urllib.request.urlopen(re.search(r"http://\S+\?user=7", server.text)[0])
    assert page.status == 200 and b"wspushd console" in page.read()

    echo = started(Lines("exec " + server.pasted("wspush --echo"), shell=True))
    echo.expect("connected")
    echo.type("whatever")
    echo.expect("← text .* whatever$")

    client.signal_group(signal.SIGINT)
    assert client.wait() == 0
    wait_for(lambda: pushed() == "0", "user 42 to be offline")

    server.signal_group(signal.SIGINT)
    server.wait()  # make itself ends by the signal; the script's status is tested below
    server.check_nothing_left()
    assert list(server.directory.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_stops_everything_cleanly(run, number):
    server = run().await_ready()
    server.signal_group(number)
    assert server.wait() == 0, server.text
    server.check_nothing_left()
    assert list(server.directory.iterdir()) == []


def test_a_stop_while_clients_are_connected_is_clean_too(run, started):
    server = run().await_ready()
    client = started(Lines("exec " + server.pasted("wspush --user"), shell=True))
    client.expect("HELLO")
    server.signal_group(signal.SIGINT)
    client.expect("BYE|closed by the server: 1001")
    assert server.wait() == 0, server.text
    server.check_nothing_left()


def test_a_second_start_names_the_first(run):
    first = run("make", "run").await_ready()
    second = run(WSPUSHD_RUN_PORT=first.ports["WSPUSHD_RUN_PORT"])
    assert second.wait() == 1
    port = first.ports["WSPUSHD_RUN_PORT"]
    assert f"port {port}, needed for clients, is taken by wspushd (pid {first.member('wspushd')})" \
        in second.text
    assert "earlier 'make run'" in second.text and "WSPUSHD_RUN_PORT=" in second.text
    assert list(second.directory.iterdir()) == []
    assert can_connect(("127.0.0.1", port))


@pytest.mark.parametrize("variable", PORTS)
def test_a_taken_port_is_told_before_anything_is_started(run, variable):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        attempt = run(**{variable: port})
        assert attempt.wait() == 1
    assert re.search(rf"port {port}, needed for {PORTS[variable]}, is taken by .* \(pid "
                     rf"{os.getpid()}\)", attempt.text)
    assert "building" not in attempt.text
    assert list(attempt.directory.iterdir()) == []


@pytest.mark.parametrize("port", ["0", "65536", "http", "08080"])
def test_a_port_that_is_none_is_told(run, port):
    attempt = run(WSPUSHD_RUN_PORT=port)
    assert attempt.wait() == 1
    assert f"WSPUSHD_RUN_PORT={port} is not a port" in attempt.text
    attempt.ports = {}


@pytest.mark.parametrize("victim, message", [
    ("wspushd", "the server ended by itself"),
    ("redis-server", r"Redis \(port \d+\) ended by itself"),
    ("python3", "the example backend ended by itself")])
def test_a_death_is_told_and_stops_the_rest(run, victim, message):
    server = run().await_ready()
    os.kill(server.member(victim), signal.SIGKILL)
    server.expect(f"make run: {message}; the last lines of its log:")
    assert server.wait() == 1
    server.check_nothing_left()
    assert list(server.directory.iterdir()) == []


def test_a_killed_script_leaves_no_server_behind(run):
    server = run().await_ready()
    server.process.kill()
    server.process.wait()
    for pid, name in server.family.items():
        if name in ("wspushd", "redis-server", "python3"):
            wait_for(lambda pid=pid: not alive(pid), f"the end of {name} ({pid})")
