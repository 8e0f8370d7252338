"""How evenly connections are spread over the workers.

A user's home depends only on the user's name, so these counts are the same in every run.
Consecutive numbers are spread as evenly as possible, because the hash is a CRC; unordered names are
spread as evenly as random ones. Other such names show how even that is: their homes are computed,
by the rule that the first names have confirmed.
"""

import random
import statistics
import uuid

from harness.wait import wait_for

TITLE = "connections of the fullest worker / of the emptiest"

WORKERS, USERS = 4, 8000
LIMIT = 1.1
SETS, SETS_LIMIT = 60, 1.05     # each with as many names


def uuids(seed):
    bits = random.Random(seed)
    return [str(uuid.UUID(int=bits.getrandbits(128), version=4)) for _ in range(USERS)]


def computed(server, users):
    held = [0] * WORKERS
    for user in users:
        held[server.home_of("user:" + user)] += 1
    return held


def spread(held):
    return max(held) / min(held)


def count(stage, table):
    kinds = [("numbers", [str(number) for number in range(USERS)]),
             ("UUIDs", [str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))) for i in range(USERS)])]
    for what, users in kinds:
        with stage.node(WORKERS) as node, node:
            node.connect(users)
            wait_for(lambda node=node: node.server.admin.connections() == USERS, "all connections")
            held = [worker["connections"] for worker in node.server.admin.workers()]
        table.row(f"{USERS:,} users named by {what}, {WORKERS} workers", LIMIT, spread(held),
                  digits=3)
        table.note(" ".join(f"{n:,}" for n in held))
        assert held == computed(node.server, users), "users are not where they are computed to be"
    sets = [spread(computed(node.server, uuids(seed))) for seed in range(SETS)]
    table.row(f"the median of {SETS} sets of {USERS:,} UUIDs", SETS_LIMIT, statistics.median(sets),
              digits=3)
    table.note(f"from {min(sets):.3f} to {max(sets):.3f}")
