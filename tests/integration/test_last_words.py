"""Log entries on the death of a worker: the cause, the place, and the work it had in hand."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from harness.build import built
from harness.client import PING, encode_binary
from harness.wait import WSPUSHD, sanitizer_options, wait_for

OURS = "handle_segv=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0:handle_sigbus=0"
"""A sanitizer's own handlers would keep ours from being installed."""


@pytest.fixture
def doomed(make_server, monkeypatch):
    """One worker, and bugs to order."""
    def make(**config):
        sanitizer_options(monkeypatch, OURS + ":use_sigaltstack=0")
        server = make_server(start=False, **{"workers": 1, **config})
        server.binary = built("wspushd-faults")
        server.expect_log(r"worker|died|poison|signal|took_over")
        server.workers_may_change = True
        return server.start()
    return make


def pairs(line):
    """A line of logfmt as a dict."""
    return {key: value.strip('"') for key, value in re.findall(r'(\w+)=("[^"]*"|\S*)', line)}


def deaths(server):
    return [pairs(line) for line in server.log().splitlines() if "event=worker_died" in line]


def death(server, number=1):
    """The newest death, once there are so many."""
    return wait_for(lambda: len(deaths(server)) >= number and deaths(server), "a death")[-1]


def find_backtrace(server, pid):
    for line in server.log().splitlines():
        if "event=worker_backtrace" in line and f"pid={pid} " in line:
            return pairs(line)["frames"].split()
    return None


def backtrace(server, pid):
    return wait_for(lambda: find_backtrace(server, pid), "a backtrace")


def functions(frames):
    """Returns the functions' names without the compiler's suffixes for copies, as in turn.constprop.0."""
    return [frame.partition("(")[0].partition(".")[0] for frame in frames]


def build_id(path):
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True)
    return re.search(r"Build ID: (\w+)", notes.stdout)[1]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE,
                                    signal.SIGABRT])
def test_signal_from_outside_says_who_and_where(doomed, number):
    server = doomed()
    pid = server.worker_pids()[0]
    os.kill(pid, number)
    words = death(server)
    assert words["pid"] == str(pid) and words["signal"] == str(int(number))
    assert words["sender"] == str(os.getpid()) and "address" not in words
    assert words["build"] == build_id(server.binary)
    assert words["doing"] == "waiting" and words["fd"] == "0" and words["op"] == "0"
    assert "worker_run" in functions(backtrace(server, pid))


def test_fault_on_a_push_names_the_push_and_the_place(doomed):
    server = doomed()
    client = server.client("u")
    pid = server.worker_pids()[0]
    assert server.push("u", 117, text="fault:segv") == 1
    words = death(server)
    assert words["signal"] == "11" and words["code"] == "1" and words["address"] == "0x8"
    assert words["op"] == "117" and words["source"] == "redis" and int(words["position"]) > 0
    assert words["doing"] == "routing pushes"
    assert re.fullmatch(r"segv\(wspushd\+0x[0-9a-f]+\)", words["at"])
    names = functions(backtrace(server, pid))
    assert names[:2] == ["segv", "fault_meet"] and "deliver_user" in names, names
    assert "worker_run" in names and "master_run" in names
    client.close()


def test_offsets_are_what_addr2line_takes(doomed):
    server = doomed()
    server.client("u")
    server.push("u", 110, text="fault:abort")
    pid = int(death(server)["pid"])
    frame = next(frame for frame in backtrace(server, pid) if frame.startswith("deliver_user("))
    offset = re.search(r"wspushd\+(0x[0-9a-f]+)", frame)[1]
    said = subprocess.run(["addr2line", "-fie", server.binary, offset], capture_output=True,
                          text=True, check=True).stdout.split() # -i: what was inlined there, too
    assert said[-2] == "deliver_user" and "worker/deliver.c:" in said[-1], said


def test_fault_on_a_request_names_connection_and_opcode(doomed):
    server = doomed()
    client = server.client("u")
    client.send_message(PING, b"fault:abort")
    words = death(server)
    assert words["signal"] == "6" and words["address"] == "0x0"
    assert words["doing"] == "reading a client" and words["op"] == str(PING)
    fd = int(client.hello["conn"].split("-")[1], 16)
    assert int(words["fd"]) == fd


def test_full_stack_is_told(doomed):
    server = doomed()
    client = server.client("u")
    client.send_message(PING, b"fault:overflow")
    words = death(server)
    assert words["signal"] == "11"
    names = functions(backtrace(server, int(words["pid"])))
    assert len(names) == 24 and set(names) == {"deeper"}, "the innermost"


def test_loop_is_told_with_its_place(doomed):
    server = doomed(watchdog=1)
    client = server.client("u")
    client.send_message(PING, b"fault:spin")
    words = death(server)
    assert "event=worker_hangs" in server.log()
    assert words["signal"] == "6" and words["sender"] == str(server.pid)
    assert words["at"].startswith("spin(")
    assert words["op"] == str(PING)


def test_kill_leaves_what_it_was_doing_and_no_older_words(doomed):
    server = doomed()
    client = server.client("u")
    server.push("u", 117, text="fault:segv")
    death(server, 2)
    wait_for(server.admin.ready, "/readyz 200")
    pid = server.worker_pids()[0]
    os.kill(pid, signal.SIGKILL)
    words = death(server, 3)
    assert words["signal"] == "9" and words["doing"] == "waiting"
    assert "at" not in words and "address" not in words and "position" not in words
    assert find_backtrace(server, pid) is None
    client.close()


def test_stripped_binary_gives_offsets(doomed, tmp_path):
    server = doomed()
    server.stop()
    stripped = tmp_path / "wspushd"
    shutil.copy(server.binary, stripped)
    subprocess.run(["strip", stripped], check=True)
    server.binary = stripped
    server.start()
    server.workers_may_change = True
    pid = server.worker_pids()[0]
    os.kill(pid, signal.SIGSEGV)
    assert death(server)["at"].startswith(("(", "epoll_wait(", "__"))
    assert any(re.fullmatch(r"\(wspushd\+0x[0-9a-f]+\)", frame) for frame in backtrace(server, pid))


def test_the_server_has_no_bugs_to_order():
    assert b"fault:abort" in built("wspushd-faults").read_bytes()
    assert b"fault:abort" not in WSPUSHD.read_bytes()
