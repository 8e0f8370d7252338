"""Processes seen from outside: their children, open descriptors, CPU time and memory."""

import ctypes
import os
import select
import signal
from collections import Counter
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def mind_signals():
    """For a child before exec: resets ignored signals, which it would otherwise inherit."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def die_with_us():
    """For a child before exec: has it killed if the tests are killed, and resets the signals that a
    shell or nohup(1) made the tests ignore."""
    mind_signals()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def children(pid):
    """Returns the pids of a process's living children, oldest first."""
    out = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            if is_child(int(entry), pid):
                out.append(int(entry))
    return sorted(out)


def stat(pid):
    """Returns (state letter, parent's pid), or None if the process does not exist."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
            return fields[0], int(fields[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid):
    state = stat(pid)
    return state is not None and state[0] != "Z"


def age(pid):
    """Returns the seconds since the process started, or 0 if it does not exist."""
    try:
        with open(f"/proc/{pid}/stat") as file, open("/proc/uptime") as uptime:
            began = int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
            return float(uptime.read().split()[0]) - began
    except (FileNotFoundError, ProcessLookupError):
        return 0


def is_child(pid, parent):
    """True if `pid` is a living child of `parent`."""
    state = stat(pid)
    return state is not None and state[0] != "Z" and state[1] == parent


def wait_end(process, timeout):
    """Waits for a subprocess.Popen to end; False on timeout. Popen.wait() would poll."""
    pidfd = os.pidfd_open(process.pid)
    try:
        ready = select.poll()  # select() is limited to descriptors up to 1,023
        ready.register(pidfd, select.POLLIN)
        return bool(ready.poll(timeout * 1000))
    finally:
        os.close(pidfd)


def descriptors(pid):
    """Returns the number of open descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_kinds(pid):
    """Counts the open descriptors by kind: socket, pipe, anon_inode, /dev/null, ..."""
    def kind(name):
        try:
            return os.readlink(f"/proc/{pid}/fd/{name}").split(":[")[0]
        except FileNotFoundError: # closed since the directory was listed
            return None
    return Counter(filter(None, map(kind, os.listdir(f"/proc/{pid}/fd"))))


def cpu_us(pid):
    """Returns the CPU time of all threads in microseconds, as the scheduler counts it."""
    return sum(int(path.read_text().split()[0]) for path in
               Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1000


def memory(pids):
    """Returns the total proportional set size of the processes, in bytes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total * 1024
