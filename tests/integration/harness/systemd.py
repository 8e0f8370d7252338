"""systemd's side of its two protocols: the notify socket, and listening sockets that are passed."""

import fcntl
import os
import socket
import time

from .process import die_with_us
from .wait import TIMEOUT, WSPUSHD

FIRST_FD = 3


class NotifySocket:
    """What $NOTIFY_SOCKET names. Messages are kept with the time of their arrival."""

    def __init__(self, name):
        self.name = name
        self.messages = []  # (time, {key: value})
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + name[1:] if name.startswith("@") else name)

    def next(self, timeout=TIMEOUT):
        self._sock.settimeout(timeout)
        text = self._sock.recv(4096).decode()
        message = dict(line.split("=", 1) for line in text.split("\n"))
        self.messages.append((time.monotonic(), message))
        return message

    def expect(self, key, value=None, timeout=TIMEOUT):
        """The next message with this key (and value); others in between are kept."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"no {key}={value or ''}: {self.messages}"
            message = self.next(left)
            if key in message and value in (None, message[key]):
                return message

    def count(self, key):
        return sum(key in message for _, message in self.messages)

    def close(self):
        self._sock.close()


def passing(sockets, names=(), pid=None, binary=WSPUSHD):
    """Arguments for Server.start, so that it is started as systemd would: with sockets passed.

    pid: what $LISTEN_PID says, where it is not to be the server's own; binary: of the server.
    """
    numbers = [sock.fileno() for sock in sockets]

    def prepare():
        die_with_us()
        # First out of the way, so that no dup2 closes the source of the next.
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in numbers]
        for i, fd in enumerate(copies):
            os.dup2(fd, FIRST_FD + i, inheritable=True)

    # $LISTEN_PID can only be known in the process itself: the shell's $$ stays through exec.
    script = (f"LISTEN_PID={pid or '$$'} LISTEN_FDS={len(sockets)} "
              f"LISTEN_FDNAMES={':'.join(names)}; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; "
              'exec "$0" "$@"')
    return {"command": ["/bin/sh", "-c", script, str(binary)], "preexec_fn": prepare,
            "close_fds": False}
