"""The servers that are measured: wspushd, and its peers in bench/peers.

A peer is a folder with a program `run PORT REDIS_PORT`: it builds what it needs, starts the server on
127.0.0.1:PORT, prints READY once clients may come, and runs until it is told to end. Clients of it
ask for /ws?user=N; what is published on push:user:N reaches user N, and what is published on
push:all reaches everybody.
"""

import contextlib
import itertools
import os
import secrets
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from harness.net import free_port
from harness.process import alive, children, die_with_us
from harness.server import Raw, Server, opcode

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(os.environ.get("BENCH_PEERS", ROOT / "bench/peers"))
BUILD_PATIENCE = 300        # seconds: the first start of a peer builds it
KEY = "jwt.key"
CONNECTIONS = 19500         # that one server can hold in tests: its descriptors are limited


class Kind(NamedTuple):
    """How a server is started and talked to."""
    name: str
    text: str               # for the page
    folder: str = ""        # of a peer
    workers: int = 0        # of wspushd
    dialect: str = "plain"
    http: bool = False      # is published to by HTTP, on its own port
    broadcasts: bool = True
    all_suffix: str = ""    # of the URL of clients that get what is for all, where that is another
    redis: bool = True      # what is published goes by Redis
    settle: str = "1s"      # a server that does not say when it is ready is given time
    children: bool = False  # it has workers that can be killed, and a reload
    login: bool = False     # by JSON Web Token

    @property
    def ours(self):
        return self.workers > 0


KINDS = {kind.name: kind for kind in [
    Kind("wspushd", "wspushd, 1 worker", workers=1, dialect="wspush", settle="100ms"),
    Kind("wspushd-2", "wspushd, 2 workers", workers=2, dialect="wspush", settle="100ms"),
    Kind("wspushd-jwt", "wspushd, 1 worker, clients log in by JSON Web Token (HS256)", workers=1,
         dialect="wspush", settle="100ms", login=True),
    Kind("floor", "parses RESP, indexes an array, calls send()", folder="floor"),
    Kind("gorilla", "Go, gorilla/websocket", folder="gorilla"),
    Kind("ws", "Node.js, ws", folder="ws"),
    Kind("socketio", "Node.js, Socket.IO with its Redis adapter", folder="socketio",
         dialect="socketio"),
    Kind("nchan", "nginx with nchan, in memory", folder="nchan", http=True, all_suffix="-all",
         redis=False, children=True),
    Kind("nchan-redis", "nginx with nchan, by Redis", folder="nchan-redis", http=True,
         all_suffix="-all"),
]}


def peers():
    """The names of the available peers."""
    return [kind.name for kind in KINDS.values()
            if kind.folder and os.access(PEERS / kind.folder / "run", os.X_OK)]


class Running(NamedTuple):
    """A running server, as wspush-bench needs to know it."""
    kind: Kind
    url: str                # of all nodes, separated by spaces
    pid: int
    publish: str
    options: dict
    servers: tuple = ()     # the nodes

    @property
    def for_all(self):
        """The same server, with clients that receive pushes to all."""
        return self._replace(url=self.url + self.kind.all_suffix)


class Stage:
    """Starts servers, one at a time, with one Redis."""

    def __init__(self, directory, redis):
        self._directory, self._redis = Path(directory), redis
        self._serial = itertools.count(1)

    @contextlib.contextmanager
    def run(self, kind):
        directory = self._directory / f"{next(self._serial)}-{kind.name}"
        directory.mkdir()
        start = self._ours if kind.ours else self._peer
        with start(kind, directory) as (port, pid):
            running = self._running(kind, [port], [pid])
            running.options.update({"jwt_key": directory / KEY} if kind.login else {})
            yield running

    def _running(self, kind, ports, pids, servers=()):
        """One server, or its nodes, as wspush-bench needs to know it."""
        publish = (f"http://127.0.0.1:{ports[0]}" if kind.http else
                   f"redis://127.0.0.1:{self._redis.port}")
        return Running(kind, " ".join(f"ws://127.0.0.1:{port}/ws" for port in ports), pids[0],
                       publish,
                       {"dialect": kind.dialect, "settle": kind.settle, "publish": publish,
                        "server_pid": ",".join(map(str, pids)),
                        "redis_pid": self._redis.process.pid,
                        **({"publish_connections": 4} if kind.http else {})}, tuple(servers))

    @contextlib.contextmanager
    def nodes(self, count, connections):
        """This many of our nodes on the one Redis, as one server for wspush-bench."""
        kind = KINDS["wspushd"]
        with contextlib.ExitStack() as stack:
            servers = []
            for number in range(count):
                directory = self._directory / f"node-{number}"
                directory.mkdir()
                server = self._server(directory, kind.workers, connections)
                stack.callback(server.destroy)
                servers.append(server.start())
            yield self._running(kind, [server.address[1] for server in servers],
                                [server.pid for server in servers], servers)
            for server in servers:
                server.stop()

    def _server(self, directory, workers, connections, **config):
        return Server(directory, self._redis, opcodes=[opcode(110, name="bench",
                                                              to="stream:bench")],
                      workers=workers, prefix="push:", topics=["bench:*"], heartbeat=600,
                      max_connections=connections, echo_path="", **config)

    @contextlib.contextmanager
    def _ours(self, kind, directory):
        login = {}
        if kind.login:
            (directory / KEY).write_text(secrets.token_hex(32))
            login = {"auth": ["jwt"], "jwt": Raw(f'{{ key_file = "{directory / KEY}" }}')}
        server = self._server(directory, kind.workers, CONNECTIONS, **login)
        try:
            server.start()
            yield server.address[1], server.pid
            server.stop()
        finally:
            server.destroy()
            self._redis.client.delete("bench")

    @contextlib.contextmanager
    def _peer(self, kind, directory):
        port = free_port()
        with open(directory / "log", "wb") as log:
            process = subprocess.Popen(
                [PEERS / kind.folder / "run", str(port), str(self._redis.port)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True, preexec_fn=die_with_us)
        try:
            _await_ready(kind, process, directory / "log")
            yield port, _server_of(process.pid)
        finally:
            _end(process)


def _server_of(pid):
    """The server that `run` has become, or the child that it waits for if it is still a shell."""
    def is_shell():
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) in ("sh", "bash", "dash")

    while is_shell() and children(pid):
        pid = children(pid)[0]
    return pid


def _await_ready(kind, process, log):
    deadline, said = time.monotonic() + BUILD_PATIENCE, b""
    while b"READY" not in said.split(b"\n"):
        left = deadline - time.monotonic()
        readable, _, _ = select.select([process.stdout], [], [], max(0, left))
        data = os.read(process.stdout.fileno(), 4096) if readable else b""
        if not data:
            raise RuntimeError(f"{kind.name} does not start: {log.read_text('utf-8', 'replace')}")
        said += data


def _end(process):
    """The peer and its descendants, which share a session and so a process group."""
    for number, patience in [(signal.SIGTERM, 5), (signal.SIGKILL, 5)]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            process.poll()
            if not _group_alive(process.pid):
                break
            time.sleep(0.02)
    process.wait(5)
    process.stdout.close()


def _group_alive(group):
    for entry in os.listdir("/proc"):
        if entry.isdigit() and alive(int(entry)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(int(entry)) == group:
                    return True
    return False
