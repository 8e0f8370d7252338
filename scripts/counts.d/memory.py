"""Memory of an idle connection.

It is the proportional set size of the master and all workers: a page that several of them map
counts once in the sum. The growth from 8,000 more connections gives the cost of a connection; the
first 2,000 cover the fixed costs. Buffers grow to the most that a turn of the loop has needed, so
the first connect in crowds, and the others in small groups. No HTTP request is made in between,
because answering one touches memory of the worker that answers.

Pages of files, the program's and the libraries' code, are left out: their share depends on which
other processes on the machine map the same libraries.
"""

import re
from collections import Counter

TITLE = "bytes of user memory for an idle connection"

FIRST, LAST = 2000, 10000
CROWD, GROUP = 1000, 100            # clients that connect at the same time
LIMIT = 192


def proportional(pids):
    """{"Anon": bytes, "Shmem": ..., "File": ...} of the processes together."""
    out = Counter()
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for kind, kib in re.findall(r"^Pss_(\w+): +(\d+) kB", file.read(), re.MULTILINE):
                out[kind] += int(kib) * 1024
    return out


def count(stage, table):
    for workers in (1, 2, 4):
        with stage.node(workers) as node, node:
            count_node(table, node, workers)


def count_node(table, node, workers):
    pids = [node.server.pid, *node.workers]
    users = [str(i) for i in range(LAST)]
    node.connect(users[:FIRST], batch=CROWD)
    before = proportional(pids)
    node.connect(users[FIRST:], batch=GROUP)
    grown = {kind: size - before[kind] for kind, size in proportional(pids).items()}
    more = LAST - FIRST
    private, shared = grown["Anon"], grown["Shmem"]
    table.row(f"{workers} workers" if workers > 1 else "1 worker", LIMIT,
              (private + shared) / more, digits=1)
    table.note(f"{more:,} more connections: private {private:,} bytes, shared {shared:,}; "
               f"not counted, pages of files {grown['File']:,}")
