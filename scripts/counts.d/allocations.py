"""Allocations of the workers for each push, delivery and echo, in the steady state.

count_malloc.c replaces malloc in the server's processes and counts into a file that is mapped here.
Before each count the same load runs once, so that buffers have grown to their final size. The
server's timers (the probe every three seconds, by hiredis) allocate even without pushes: this is
counted first, on an idle server, and subtracted in proportion to the time.
"""

import contextlib
import mmap
import os
import re
import struct
import subprocess
import time
from collections import Counter
from pathlib import Path

from harness.wait import WSPUSHD
from stage import ECHO, ENVELOPE, RAW

TITLE = "allocations in the workers"

CLIENTS, ROUNDS = 1000, 40          # 40,000 of each kind
WORKERS = 2
IDLE_SECONDS = 6                    # two probes
LIMIT = 0
NOISE = 0.0005                      # is 0 in the table: 20 calls of 40,000

# The same values as in count_malloc.c.
PROCESSES, SITES = 16, 256
KINDS = ("malloc", "calloc", "realloc", "aligned", "free")
ROW = struct.Struct(f"=Q{len(KINDS)}Q{2 * SITES}Q")


def build_library():
    source = Path(__file__).with_name("count_malloc.c")
    library = WSPUSHD.with_name("count_malloc.so")
    subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-fPIC",
                    "-shared", "-o", library, source], check=True)
    return library


@contextlib.contextmanager
def preloaded(library, path):
    """Makes processes that are started within count into the file."""
    path.write_bytes(bytes(PROCESSES * ROW.size))
    os.environ.update(LD_PRELOAD=str(library), COUNT_MALLOC=str(path))
    try:
        yield
    finally:
        del os.environ["LD_PRELOAD"], os.environ["COUNT_MALLOC"]


class Tally:
    """The counts of some processes, as they are now."""

    def __init__(self, path, pids):
        self._pids = set(pids)
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def read(self):
        """({kind: calls}, {(pid, caller): calls})."""
        calls, sites = Counter(), Counter()
        for pid, *words in ROW.iter_unpack(self._map):
            if pid in self._pids:
                calls.update(dict(zip(KINDS, words)))
                at = iter(words[len(KINDS):])
                sites.update({(pid, caller): count for caller, count in zip(at, at) if count})
        return calls, sites


class Counting:
    """The calls within: `allocations`, `frees`, `sites`, in `seconds`."""

    def __init__(self, tally):
        self._tally = tally

    def __enter__(self):
        self._began = time.monotonic()
        self._calls, self._sites = self._tally.read()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self._began
        calls, sites = self._tally.read()
        calls.subtract(self._calls)
        self.sites = sites - self._sites
        self.frees = calls.pop("free")
        self.allocations = sum(calls.values())


def where(pid, address):
    """"function at file:line" of a return address; only the library if nothing is known."""
    base = {}
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            span, _, _, _, _, *name = line.split(maxsplit=5)
            start, end = (int(part, 16) for part in span.split("-"))
            name = name[0].strip() if name else "?"
            base.setdefault(name, start)
            if start <= address < end:
                break
        else:
            return "?"
    done = subprocess.run(["addr2line", "-fse", name, hex(address - 1 - base[name])],
                          capture_output=True, text=True, check=False)
    function, _, line = done.stdout.strip().partition("\n")
    found = function and function != "??"
    return f"{function} at {re.sub(' .*', '', line)}" if found else os.path.basename(name)


def callers(sites, most=5):
    """The callers by number of calls, with all workers added up."""
    named = Counter()
    for (pid, address), calls in sites.items():
        named[where(pid, address) if address else "others"] += calls
    return [f"{calls} by {name}" for name, calls in named.most_common(most)]


def echo(node, clients):
    """One round: each client sends a request and gets it back."""
    for client in clients:
        if client.mode == "json":
            client.send_json(ECHO, data={"text": "there and back"})
        else:
            client.send_message(ECHO, b"there and back")
    node.receive(clients, 1)


def loads(node, users, clients):
    """(name of the load, function for one round)."""
    return [
        ("a raw push", lambda: node.push(users, clients, RAW)),
        ("an envelope push", lambda: node.push(users, clients, ENVELOPE)),
        (f"a delivery of push:all to {CLIENTS:,}", lambda: node.broadcast(clients, RAW)),
        ("the same by envelope", lambda: node.broadcast(clients, ENVELOPE)),
        ("an echo of a client's request", lambda: echo(node, clients)),
    ]


def count(stage, table):
    library, path = build_library(), stage.directory / "malloc.counts"
    with contextlib.ExitStack() as stack:
        with preloaded(library, path):
            node = stack.enter_context(stage.node(WORKERS))
        stack.enter_context(node)
        users = [str(i) for i in range(CLIENTS)]
        # Half of them in each mode, so that both encodings are counted.
        clients = node.connect(users[::2], mode="binary") + node.connect(users[1::2], mode="json")
        tally = Tally(path, node.workers)
        with Counting(tally) as idle:
            time.sleep(IDLE_SECONDS)
        table.note(f"with nothing to do: {idle.allocations} calls in {idle.seconds:.1f} s")
        for what, run in loads(node, users, clients):
            count_load(table, tally, what, run, idle)


def count_load(table, tally, what, run, idle):
    run()
    with Counting(tally) as counted:
        for _ in range(ROUNDS):
            run()
    background = idle.allocations * counted.seconds / idle.seconds
    each = max(0, counted.allocations - background) / (CLIENTS * ROUNDS)
    ok = table.row(what, LIMIT, 0 if each < NOISE else each, digits=3)
    table.note(f"{counted.allocations} calls in {counted.seconds:.2f} s for {CLIENTS * ROUNDS:,}; "
               f"background {background:.1f}; {counted.frees} frees")
    if not ok:
        for line in callers(counted.sites):
            table.note(line)
