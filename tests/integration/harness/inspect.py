"""Examines a running server's shared memory from outside (tests/chaos/inspect.c)."""

import json
import subprocess

from .wait import TIMEOUT, WSPUSHD

INSPECT = WSPUSHD.parent / "inspect"


def inspect(server):
    """Returns {"faults": [...], "open": n, ...}."""
    done = subprocess.run([str(INSPECT), str(server.pid)], stdout=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode in (0, 1), f"inspect ended with {done.returncode}"
    return json.loads(done.stdout)
