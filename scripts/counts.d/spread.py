"""How evenly connections are spread over the workers.

A user's home follows from his name, and so do these counts: they are the same in every run. Numbers
in a row are spread as well as can be, because the hash is a CRC; names without any order as well
as chance does it.
"""

import uuid

from harness.wait import wait_for

TITLE = "connections of the fullest worker / of the emptiest"

WORKERS, USERS = 4, 8000
LIMIT = 1.1


def count(stage, table):
    kinds = [("numbers", map(str, range(USERS))),
             ("UUIDs", (str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))) for i in range(USERS)))]
    for what, users in kinds:
        with stage.node(WORKERS) as node, node:
            node.connect(list(users))
            wait_for(lambda node=node: node.server.admin.connections() == USERS, "all connections")
            held = [worker["connections"] for worker in node.server.admin.workers()]
        table.row(f"{USERS:,} users named by {what}, {WORKERS} workers", LIMIT,
                  max(held) / min(held), digits=3)
        table.note(" ".join(f"{n:,}" for n in held))
