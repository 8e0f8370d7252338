"""What a running server's shared memory says, seen from outside: tests/chaos/inspect.c."""

import json
import subprocess

from .wait import TIMEOUT, WSPUSHD

INSPECT = WSPUSHD.parent / "inspect"


def inspect(server):
    """{"faults": [...], "open": n, ...}"""
    done = subprocess.run([str(INSPECT), str(server.pid)], stdout=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode in (0, 1), f"inspect ended with {done.returncode}"
    return json.loads(done.stdout)
