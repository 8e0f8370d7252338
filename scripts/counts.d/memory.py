"""Memory of an idle connection, and how evenly connections are spread over the workers.

Memory is the proportional set size of the master and all workers: a page that several map counts
once in the sum. What 8,000 more connections add to it is what a connection costs; what the first
2,000 needed anyway is not counted with it. Buffers grow to the most that a turn of the loop has
needed, so the first come in crowds, and the others in small groups.

Pages of files, the program's and the libraries' code, are left out: their share falls and rises
with whatever other process on the machine maps the same libraries.
"""

import re
from collections import Counter

from harness.wait import wait_for

TITLE = "idle connections"

FIRST, SPREAD_AT, LAST = 2000, 8000, 10000
CROWD, GROUP = 1000, 100            # that connect at the same time
LIMIT, SPREAD_LIMIT = 256, 1.1
SPREAD_WORKERS = 4


def proportional(pids):
    """{"Anon": bytes, "Shmem": ..., "File": ...} of the processes together."""
    out = Counter()
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for kind, kib in re.findall(r"^Pss_(\w+): +(\d+) kB", file.read(), re.MULTILINE):
                out[kind] += int(kib) * 1024
    return out


def connect(node, first, last, together):
    """Users first + 1 to last, so many at a time, until the server knows all."""
    node.connect([str(i) for i in range(first + 1, last + 1)], batch=together)
    wait_for(lambda: node.server.admin.connections() == last, f"{last} connections")


def count(stage, table):
    for workers in (2, SPREAD_WORKERS):
        with stage.node(workers) as node, node:
            count_node(table, node, workers)


def count_node(table, node, workers):
    pids = [node.server.pid, *node.workers]
    connect(node, 0, FIRST, CROWD)
    before = proportional(pids)
    connect(node, FIRST, SPREAD_AT, GROUP)
    held = [worker["connections"] for worker in node.server.admin.workers()]
    connect(node, SPREAD_AT, LAST, GROUP)
    grown = {kind: bytes_ - before[kind] for kind, bytes_ in proportional(pids).items()}
    more = LAST - FIRST
    table.row(f"bytes of a connection, {workers} workers", LIMIT,
              (grown["Anon"] + grown["Shmem"]) / more, digits=1)
    table.note(f"{more:,} more connections: private {grown['Anon']:,} bytes, "
               f"shared {grown['Shmem']:,}; pages of files, not counted: {grown['File']:,}")
    if workers == SPREAD_WORKERS:
        table.row(f"{SPREAD_AT:,} users on {workers} workers: most / fewest", SPREAD_LIMIT,
                  max(held) / min(held), digits=3)
        table.note(" ".join(f"{n:,}" for n in held))
