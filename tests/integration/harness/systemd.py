"""systemd's side of its two protocols: the notify socket and the passing of listening sockets."""

import fcntl
import os
import socket
import time

from .process import die_with_us
from .wait import TIMEOUT, WSPUSHD

FIRST_FD = 3


class NotifySocket:
    """The socket of $NOTIFY_SOCKET. Keeps messages with the time of their arrival."""

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
        """Returns the next message with this key (and value); keeps the others."""
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
    """Returns arguments for Server.start() that pass sockets to the server, as systemd does.

    pid: the value of $LISTEN_PID, if not the server's own pid; binary: the server's.
    """
    numbers = [sock.fileno() for sock in sockets]

    def prepare():
        die_with_us()
        # Move the descriptors out of the way first, so that no dup2 closes the source of the next.
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in numbers]
        for i, fd in enumerate(copies):
            os.dup2(fd, FIRST_FD + i, inheritable=True)

    # Only the process itself knows its $LISTEN_PID: the shell's $$ remains the same after exec.
    script = (f"LISTEN_PID={pid or '$$'} LISTEN_FDS={len(sockets)} "
              f"LISTEN_FDNAMES={':'.join(names)}; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; "
              'exec "$0" "$@"')
    return {"command": ["/bin/sh", "-c", script, str(binary)], "preexec_fn": prepare,
            "close_fds": False}
