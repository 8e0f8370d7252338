"""Name resolution for one process: a private hosts(5) and resolv.conf(5), and a DNS server that can
answer, report that a name does not exist, or stay silent."""

import random
import socket
import struct
import threading

A, AAAA = 1, 28


class DnsServer:
    """A DNS server over UDP, on port 53 of a random loopback address. `addresses` maps names to lists
    of IPv4 addresses; if `silent` is true, it drops every query."""

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
    """Returns (name, type, offset of the question's end) for a query with one question."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += query[at] + 1
    return ".".join(labels), struct.unpack_from(">H", query, at + 1)[0], at + 5


class Names:
    """The /etc/hosts, /etc/resolv.conf and /etc/nsswitch.conf of a process started by command()."""

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
        """Returns a command for Server.launch(command=...): the binary in a mount namespace with these files."""
        binds = "".join(f"mount --bind {path} /etc/{name} && " for name, path in self.files.items())
        return ["unshare", "--mount", "sh", "-c", binds + f'exec {binary} "$@"', str(binary)]
