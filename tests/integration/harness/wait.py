"""Waits for events, never for a fixed time."""

import mmap
import os
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("WSPUSHD_BUILD", "build"))
WSPUSHD = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "wspushd"


def _is_sanitized():
    try:
        with open(WSPUSHD, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
            return m.find(b"__asan_init") >= 0 or m.find(b"__tsan_init") >= 0
    except (OSError, ValueError):
        return False


SANITIZED = _is_sanitized()
"""Whether the server under test was built with a sanitizer: slower, and hungrier for memory."""



def sanitizer_options(monkeypatch, options):
    """Adds to ASAN_OPTIONS for the processes that the test starts. No effect on a plain build."""
    before = os.environ.get("ASAN_OPTIONS")
    monkeypatch.setenv("ASAN_OPTIONS", f"{before}:{options}" if before else options)


SLACK = 4 if SANITIZED else 1
"""Factor on the few bounds of time that are part of a promise."""

TIMEOUT = 20 * SLACK
"""How long a test waits for what should come at once. Only a failing test waits so long."""


def wait_for(condition, what, timeout=TIMEOUT, interval=0.01):
    """Calls `condition` until its result is true, and returns the result. Fails with `what`."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s in vain for: {what}; last: {result!r}")
        time.sleep(interval)
