"""System calls of the workers for each push.

strace counts them, attached to the workers, while pushes come through Redis as fast as it accepts
them, many in one write. Pushes go to clients in rounds, and a round ends when all clients have
received theirs, so that no two pushes of a round to distinct users can share a call.

strace makes the server slower, and a slower server finds more in each read. So the same load runs
again without strace, counted by the server itself: its sends, its reads, and its turns, each of
which waits in epoll once.
"""

import re
import signal
import subprocess
import time

from harness.process import die_with_us
from harness.wait import TIMEOUT, wait_for

TITLE = "system calls in the workers"

WORKERS = 2
CLIENTS, ROUNDS = 4000, 5           # 20,000 pushes to distinct users
BURST, BURST_CLIENTS = 16, 1250     # 20,000 pushes, 16 for one user at a time
IDLE_SECONDS = 4                    # at least one probe
LIMIT, BURST_LIMIT = 1.2, 0.1
COUNTERS = ("send_calls_total", "redis_reads_total", "turns_total")


class Trace:
    """Runs strace on processes within the block; afterwards `calls` is {name: calls}."""

    def __init__(self, directory, pids):
        self._pids = pids
        self._path = directory / "strace.out"

    def __enter__(self):
        attach = [part for pid in self._pids for part in ("-p", str(pid))]
        self._strace = subprocess.Popen(
            ["strace", "-f", "-c", "-U", "calls,name", "-o", self._path, *attach],
            stderr=subprocess.PIPE, text=True, preexec_fn=die_with_us)
        wait_for(lambda: self._ended() or all(map(_traced, self._pids)), "strace to attach")
        self._began = time.monotonic()
        return self

    def _ended(self):
        assert self._strace.poll() is None, f"strace: {self._strace.stderr.read()}"

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self._began
        self._strace.send_signal(signal.SIGINT)
        self._strace.communicate(timeout=TIMEOUT)
        rows = re.findall(r"^ *(\d+) +(\w+)$", self._path.read_text(), re.MULTILINE)
        self.calls = {name: int(calls) for calls, name in rows if name != "total"}

    @property
    def total(self):
        return sum(self.calls.values())


def _traced(pid):
    with open(f"/proc/{pid}/status") as file:
        return re.search(r"^TracerPid:\t[1-9]", file.read(), re.MULTILINE)


def by_name(calls):
    ordered = sorted(calls.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def counters(node):
    now = node.server.admin.stats()["counters"]
    return sum(now[name] for name in COUNTERS)


def count(stage, table):
    with stage.node(WORKERS) as node, node:
        users = [str(i) for i in range(CLIENTS)]
        clients = node.connect(users)

        def distinct():
            for _ in range(ROUNDS):
                node.push(users, clients)

        def bursts():
            node.push(users[:BURST_CLIENTS], clients[:BURST_CLIENTS], times=BURST)

        with Trace(stage.directory, node.workers) as idle:
            time.sleep(IDLE_SECONDS)
        table.note(f"with nothing to do: {idle.total} calls in {idle.seconds:.1f} s: "
                   + by_name(idle.calls))
        for what, limit, run, pushes in [
                ("a push, to distinct users", LIMIT, distinct, CLIENTS * ROUNDS),
                (f"a push, in bursts of {BURST} for one user", BURST_LIMIT, bursts,
                 BURST_CLIENTS * BURST)]:
            count_load(stage, table, node, what, limit, run, pushes)


def count_load(stage, table, node, what, limit, run, pushes):
    with Trace(stage.directory, node.workers) as traced:
        run()
    before = counters(node)
    run()
    own = counters(node) - before
    table.row(what, limit, traced.total / pushes, digits=3)
    table.note(f"{traced.total:,} calls for {pushes:,} pushes: {by_name(traced.calls)}")
    table.row("the same, by the server's own counters", limit, own / pushes, digits=3)
