"""Time that passes while all of the server's processes are stopped, and a wall clock that is set back."""

import os
import signal
import struct
import subprocess
import time

import pytest

from harness import frames as ws
from harness.wait import ROOT, SANITIZED, SLACK, wait_for

HEARTBEAT, TIMEOUT, FROZEN = 1, 2, 4
"""Seconds. The freeze is longer than both together, and than the watchdog."""


@pytest.fixture
def freeze():
    """freeze(server, seconds) stops all its processes, as `docker pause` does, and lets them go on."""
    stopped = []

    def do(server, seconds):
        stopped[:] = [*server.worker_pids(), server.pid]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in reversed(stopped): # the master first: it must not find the workers silent
            os.kill(pid, signal.SIGCONT)

    yield do
    for pid in stopped:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def closed_after(client, begin):
    """Seconds until 4009 comes."""
    client.expect_close(4009, timeout=10 * SLACK)
    return time.monotonic() - begin


def test_time_in_which_no_process_ran_counts_against_nobody(make_server, freeze):
    server = make_server(watchdog=2, heartbeat=HEARTBEAT, heartbeat_timeout=TIMEOUT)
    workers = server.worker_pids()
    pinged = server.client("pinged")
    pinged.auto_pong = False
    assert pinged.recv_frame(timeout=10).opcode == ws.PING
    fresh = server.client("fresh")
    fresh.auto_pong = False
    freeze(server, FROZEN)
    woken = time.monotonic()
    assert closed_after(pinged, woken) > TIMEOUT - 0.2, "it was closed before it could answer"
    assert fresh.recv_frame(timeout=10).opcode == ws.PING
    assert "event=paused" in server.log()
    assert server.worker_pids() == workers and "worker_hangs" not in server.log()


def test_ping_after_a_pause_may_be_answered_for_the_whole_timeout(make_server, freeze):
    server = make_server(heartbeat=HEARTBEAT, heartbeat_timeout=TIMEOUT)
    client = server.client("u")
    client.auto_pong = False
    freeze(server, FROZEN)
    assert client.recv_frame(timeout=10).opcode == ws.PING
    assert closed_after(client, time.monotonic()) > TIMEOUT - 0.5


# The wall clock.

class Wall:
    """The wall clock of a server that is started with `env`: jump(seconds) sets it."""

    def __init__(self, directory):
        self.file = directory / "wall"
        library = directory / "wall.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, ROOT / "tests/faults/wall.c"], check=True)
        self.env = {"LD_PRELOAD": f"{_sanitizers()}{library}", "WSPUSHD_WALL": str(self.file)}
        self.file.write_bytes(bytes(8))

    def jump(self, seconds):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("@q", seconds))


def _sanitizers():
    """The runtime of the sanitizers, which wants to be the first library."""
    if not SANITIZED:
        return ""
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    return found.stdout.strip() + ":"


def test_uptime_does_not_follow_the_wall_clock(make_server, tmp_path):
    wall = Wall(tmp_path)
    server = make_server(start=False)
    server.start(env=wall.env)
    for jump in (-86400, 86400):
        wall.jump(jump)
        wait_for(lambda: server.admin.status("/readyz") == 200, "/readyz 200")
        assert 0 <= server.admin.stats()["uptime"] < 3600
