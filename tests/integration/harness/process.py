"""Processes seen from outside: who is whose child, what is open, what memory is used."""

import ctypes
import os
import select
import signal
from collections import Counter
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def mind_signals():
    """In a child before exec: what we ignore it would ignore as well."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def die_with_us():
    """In a child before exec: it is killed should the tests themselves be killed, and minds the
    signals that a shell or nohup(1) has the tests ignore."""
    mind_signals()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def children(pid):
    """The pids of a process's living children, by age."""
    out = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            if is_child(int(entry), pid):
                out.append(int(entry))
    return sorted(out)


def stat(pid):
    """(state letter, parent's pid), or None where there is no such process."""
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
    """Seconds since the process began; 0 where there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file, open("/proc/uptime") as uptime:
            began = int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
            return float(uptime.read().split()[0]) - began
    except (FileNotFoundError, ProcessLookupError):
        return 0


def is_child(pid, parent):
    """Whether it is a living child of that process."""
    state = stat(pid)
    return state is not None and state[0] != "Z" and state[1] == parent


def wait_end(process, timeout):
    """Waits for the end of a subprocess.Popen; False where it goes on. Its own wait() polls."""
    pidfd = os.pidfd_open(process.pid)
    try:
        ready = select.poll()  # select() knows no descriptor above 1,023
        ready.register(pidfd, select.POLLIN)
        return bool(ready.poll(timeout * 1000))
    finally:
        os.close(pidfd)


def descriptors(pid):
    """The number of open descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_kinds(pid):
    """What its open descriptors are, and how many of each: socket, anon_inode:[eventfd], /dev/null, ..."""
    def kind(name):
        try:
            return os.readlink(f"/proc/{pid}/fd/{name}").split(":[")[0]
        except FileNotFoundError: # closed since, or our own look
            return None
    return Counter(filter(None, map(kind, os.listdir(f"/proc/{pid}/fd"))))


def cpu_us(pid):
    """CPU time of all its threads, as the scheduler counts it."""
    return sum(int(path.read_text().split()[0]) for path in
               Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1000


def memory(pids):
    """Proportional set size of the processes together, in bytes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total * 1024
