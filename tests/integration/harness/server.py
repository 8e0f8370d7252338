"""wspushd under test: its push.conf, its process, and the checks after every test."""

import binascii
import itertools
import json
import os
import re
import subprocess
from signal import SIGKILL, SIGTERM

from .admin import Admin
from .client import Client, Swarm
from .net import free_port
from .process import alive, children, die_with_us, is_child, wait_end
from .wait import SLACK, TIMEOUT, WSPUSHD, wait_for

_BAD_LINE = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error|level=error")
_LINE = re.compile(r"time=[-0-9T:.]+Z level=(?:error|warn|info|debug) from=(?:master|worker\.\d+) "
                   r"event=\w+(?: [^\x00-\x1f\x7f-\x9f]*)?")
"""A line of the log. Whatever comes from outside, it makes no second one."""

_serial = itertools.count(1)


class Raw(str):
    """A piece of push.conf that is written verbatim: a value, or the body of a section."""


def opcode(number, **rule):
    """Returns an opcode section for Server(opcodes=[...])."""
    return f"opcode {number} {{ " + " ".join(f"{k} = {_value(v)}" for k, v in rule.items()) + " }"


def _value(value):
    if isinstance(value, Raw):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(_value(item) for item in value) + "}"
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_conf(path, config, opcodes=()):
    lines = [f"{key} {value}" if isinstance(value, Raw) and value.startswith("{ ")
             else f"{key} = {_value(value)}" for key, value in config.items()]
    path.write_text("\n".join([*lines, *opcodes]) + "\n")
    return path


def parse_address(text):
    """Converts a listen address of push.conf to an address for harness.net."""
    text = text.removesuffix(" proxy")
    if text.startswith("unix:"):
        return text[5:]
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Server:
    """One node. Keyword arguments are keys of push.conf; the defaults suit most tests."""

    used = []
    """The servers of the running test, for the report of a failure."""

    def __init__(self, directory, redis_server, *, opcodes=(), arguments=(), **config):
        self.directory = directory
        self.redis = redis_server
        self.opcodes = list(opcodes)
        self.arguments = list(arguments)
        self.config = {
            "listen": [f"127.0.0.1:{free_port()}"],
            "admin": f"127.0.0.1:{free_port()}",
            "workers": 2,
            "redis": redis_server.url,
            "prefix": f"t{next(_serial)}:",
            "auth": ["none"],
            "echo_path": "/echo",
            "drain_timeout": 0,
        }
        self.config.update(config)
        self.binary = WSPUSHD     # tests that replace it start a copy
        self.process = None
        self.ended = False        # True: wait_exit() has seen it end
        self.clients = []
        self.log_path = directory / "stderr.log"
        self.log_path.touch()
        self._log_checked = 0
        self._workers = []
        self._expected = []
        self.workers_may_change = False

    # Start and stop.

    @property
    def conf_path(self):
        return self.directory / "push.conf"

    @property
    def addresses(self):
        return [parse_address(text) for text in self.config["listen"]]

    @property
    def address(self):
        return self.addresses[0]

    @property
    def admin(self):
        return Admin(parse_address(self.config["admin"]), token=self.config.get("admin_token"))

    @property
    def pid(self):
        return self.process.pid

    def launch(self, env=None, command=None, **options):
        """Starts the process without waiting for it to be ready.

        env: additional variables; command: in place of [wspushd]; options: for subprocess.Popen.
        """
        assert self.binary.exists(), f"{self.binary} is missing: run make first"
        self.rewrite()
        options.setdefault("preexec_fn", die_with_us)
        with open(self.log_path, "ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.process = subprocess.Popen(
                [*(command or [str(self.binary)]), "-c", str(self.conf_path), *self.arguments],
                env={**os.environ, **(env or {})}, **{**streams, **options})
        self.ended = False
        Server.used.append(self)
        return self

    def rewrite(self):
        """Writes push.conf from the present self.config."""
        write_conf(self.conf_path, self.config, self.opcodes)

    def start(self, ready=True, **options):
        """Starts the server and waits until it is ready or, if not `ready`, alive. options: as for launch()."""
        self.launch(**options)
        probe = "/readyz" if ready else "/healthz"
        wait_for(lambda: self._running() and self.admin.status(probe) == 200, probe + " 200")
        self._workers = wait_for(self._all_workers, "the workers")
        return self

    def _all_workers(self):
        pids = self.worker_pids()
        return pids if len(pids) == self.config["workers"] else None

    def _running(self):
        assert self.process.poll() is None, \
            f"wspushd ended with {self.process.returncode}:\n{self.log()}"
        return True

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=None):
        """Waits for the exit, asserts that no worker is left, and returns the exit status."""
        workers = children(self.pid) or self._workers
        limit = timeout or (self.config["drain_timeout"] + 10) * SLACK
        assert wait_end(self.process, limit), f"wspushd does not end within {limit} s:\n{self.log()}"
        status = self.process.wait()
        self.ended = True
        wait_for(lambda: not any(alive(pid) for pid in workers), "the workers to be gone",
                 15 * SLACK)
        return status

    def stop(self):
        """Stops the server and asserts exit status 0."""
        self.close_clients()
        self.signal(SIGTERM)
        status = self.wait_exit()
        assert status == 0, f"exit status {status} after SIGTERM:\n{self.log()}"

    def destroy(self):
        """Kills the remaining processes, as the last resort after a failed test."""
        if self.process is None:
            return
        pids = [self.pid, *children(self.pid), *self._workers]
        for pid in pids:
            if alive(pid) and "wspushd" in _command(pid):
                _kill(pid)
        self.process.wait(TIMEOUT)

    # Checks after every test.

    def expect_log(self, pattern):
        """Allows error lines that match `pattern` in the log of this test."""
        self._expected.append(re.compile(pattern))

    def worker_pids(self):
        return children(self.pid)

    def home_of(self, channel):
        """Returns the slot of the worker that is home to a channel such as "user:42": the channel's
        Redis Cluster slot, scaled to the number of workers."""
        slot = binascii.crc_hqx(self.channel(channel).encode(), 0) % 16384
        return slot * self.config["workers"] // 16384

    def kill_worker(self, worker, number=SIGKILL):
        """Kills a worker, given as its entry in /api/stats, and waits for its successor."""
        os.kill(worker["pid"], number)
        return self.wait_replaced(worker)

    def kill_workers(self):
        """Kills all workers at once and waits for their successors. A killed worker can keep running
        for a moment and still be listed as a child."""
        workers = self.admin.workers()
        for worker in workers:
            os.kill(worker["pid"], SIGKILL)
        return [self.wait_replaced(worker) for worker in workers]

    def wait_replaced(self, worker):
        """Waits until a dead worker's slot has a new worker; returns the new one."""
        def replaced():
            try:
                fresh = self.admin.workers()[worker["slot"]]
            except (OSError, AssertionError, IndexError):
                return None
            return fresh if fresh["pid"] != worker["pid"] and alive(fresh["pid"]) else None

        fresh = wait_for(replaced, f"a successor of worker {worker['slot']}")
        assert fresh["restarts"] == worker["restarts"] + 1
        return fresh

    def check(self):
        """Asserts that the server is alive with the same workers and a clean log, so that tests can share it."""
        try:
            self.close_clients()
            self._running()
            assert self.admin.status("/healthz") == 200, "/healthz no longer answers"
            if not self.workers_may_change:
                assert all(is_child(pid, self.pid) for pid in self._workers), "a worker was replaced"
            self._check_log()
        finally:
            if self.workers_may_change:
                self._workers = self.worker_pids()
            self.workers_may_change = False
            self._expected = []

    def _check_log(self):
        text = self.log_path.read_text("utf-8")  # strictly: the log must be valid UTF-8
        fresh, self._log_checked = text[self._log_checked:], len(text)
        lines = fresh.split("\n")[:-1]
        bad = [line for line in lines
               if (_BAD_LINE.search(line) or not _LINE.fullmatch(line))
               and not any(p.search(line) for p in self._expected)]
        assert not bad, "in the log:\n" + "\n".join(bad[:20])

    def check_log(self):
        """Checks only the log, for a server that has ended."""
        self._check_log()

    def log(self):
        return self.log_path.read_text("utf-8", "backslashreplace")

    # Clients.

    def raw(self, **kwargs):
        """Returns a connected client that has not sent anything."""
        client = Client(kwargs.pop("address", self.address), **kwargs)
        self.clients.append(client)
        return client

    def client(self, user, mode="binary", *, receive_buffer=None, address=None, **upgrade):
        """Returns a client that has received HELLO, which is in client.hello."""
        client = self.raw(receive_buffer=receive_buffer, address=address or self.address)
        client.send_upgrade(user, mode=mode, **upgrade)
        client.expect_upgrade()
        client.expect_hello()
        return client

    def echo_client(self):
        client = self.raw()
        client.send_upgrade(mode="echo")
        client.expect_upgrade()
        return client

    def swarm(self):
        return Swarm()

    def close_clients(self):
        for client in self.clients:
            client.close()
        self.clients = []

    def wait_connections(self, count):
        wait_for(lambda: self.admin.connections() == count, f"{count} connections")

    # Pushes.

    def channel(self, name):
        """Returns a channel name such as "user:42", "all" or "users" with this server's prefix."""
        return self.config["prefix"] + name

    def publish(self, channel, message):
        """PUBLISHes bytes, or an envelope given as a dict; returns Redis's reply."""
        if isinstance(message, dict):
            message = json.dumps(message, ensure_ascii=False)
        return self.redis.publish(self.channel(channel), message)

    def push(self, user, op=110, **envelope):
        """Publishes an envelope to a user: push("42", 110, data={...})."""
        return self.publish("user:" + user, {"op": op, **envelope})

    def subscribers(self, user):
        return self.redis.subscribers(self.channel("user:" + user))


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _kill(pid):
    try:
        os.kill(pid, SIGKILL)
    except ProcessLookupError:
        pass


def run_wspushd(*arguments, timeout=TIMEOUT):
    """Runs wspushd until it exits; returns (exit status, its output)."""
    done = subprocess.run([str(WSPUSHD), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    return done.returncode, done.stdout.decode("utf-8", "backslashreplace")

