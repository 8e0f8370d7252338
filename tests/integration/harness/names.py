"""Names as one process sees them: a hosts(5) and a resolv.conf(5) of its own, and a DNS server that
answers, refuses or is silent, as told."""

import random
import socket
import struct
import threading

A, AAAA = 1, 28


class DnsServer:
    """On port 53 of a loopback address of its own, over UDP. Answers come from `addresses`, a
    dict of a name's IPv4 addresses; `silent` makes it swallow every query."""

    def __init__(self, addresses=None, silent=False):
        self.addresses = addresses or {}
        self.silent = silent
        self.queries = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            self.host = "127.%d.%d.%d" % tuple(random.randrange(64, 255) for _ in range(3))
            try:
                self._socket.bind((self.host, 53))
                break
            except OSError as error:
                if not isinstance(error, PermissionError):
                    continue
                raise
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._socket.sendto(b"", (self.host, 53))     # wakes the thread
        self._thread.join()
        self._socket.close()

    def _run(self):
        while True:
            query, client = self._socket.recvfrom(1500)
            if not query:
                return
            name, kind, end = _question(query)
            self.queries.append((name, kind))
            if not self.silent:
                self._socket.sendto(self._answer(query, name, kind, end), client)

    def _answer(self, query, name, kind, end):
        found = [socket.inet_aton(a) for a in self.addresses.get(name, [])] if kind == A else []
        code = 0 if name in self.addresses else 3     # NXDOMAIN
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        return head + query[12:end] + b"".join(
            struct.pack(">HHHIH", 0xc00c, A, 1, 0, 4) + address for address in found)


def _question(query):
    """(name, type, where the question ends) of the only question."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += query[at] + 1
    return ".".join(labels), struct.unpack_from(">H", query, at + 1)[0], at + 5


class Names:
    """What a process started by command() finds in /etc/hosts, /etc/resolv.conf and nsswitch.conf."""

    def __init__(self, directory):
        self.files = {name: directory / name for name in ("hosts", "resolv.conf", "nsswitch.conf")}
        self.hosts()
        self.resolv()
        self.files["nsswitch.conf"].write_text("hosts: files dns\n")

    def hosts(self, *lines):
        self.files["hosts"].write_text("\n".join(lines) + "\n")

    def resolv(self, *servers, options="timeout:1 attempts:2"):
        lines = [f"nameserver {server.host}\n" for server in servers]
        self.files["resolv.conf"].write_text("".join(lines) + f"options {options}\n")

    def command(self, binary):
        """For Server.launch(command=...): the binary in a mount namespace with these files."""
        binds = "".join(f"mount --bind {path} /etc/{name} && " for name, path in self.files.items())
        return ["unshare", "--mount", "sh", "-c", binds + f'exec {binary} "$@"', str(binary)]
