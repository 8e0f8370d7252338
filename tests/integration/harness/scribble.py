"""Overwrites the shared memory of a running server (tests/chaos/scribble.c)."""

import json
import subprocess

from .wait import TIMEOUT, WSPUSHD

SCRIBBLE = WSPUSHD.parent / "scribble"


def _run(server, *arguments):
    return subprocess.run([str(SCRIBBLE), str(server.pid), *map(str, arguments)], check=True,
                          stdout=subprocess.PIPE, timeout=TIMEOUT).stdout


def regions(server):
    """Returns {"CONNS": {"elements": n, "bytes": of each}, ..., "own_fds": n, "high": n}."""
    return json.loads(_run(server))


def write_over(server, region, *pieces):
    """Overwrites parts of a region. pieces: (offset from the start of the region, bytes)."""
    _run(server, region, *(text for at, data in pieces for text in (at, data.hex())))
