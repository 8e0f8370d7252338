"""Free ports, and sockets to an address: (host, port) for TCP, a path for a unix socket."""

import random
import socket


def _lowest_ephemeral_port():
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        return int(file.read().split()[0])


_reserved = []
"""Sockets in the abstract namespace (unix(7)), one for each port that this process was given. They
keep the port from the other processes of the test run until this process ends."""


def _reserve(port):
    """Reserves the port for this process; False if another process has it."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(f"\0wspushd-tests-port-{port}")
    except OSError:
        sock.close()
        return False
    _reserved.append(sock)
    return True


def free_port():
    """Returns a loopback port that nothing listens on and no other test process was given.

    The port is below the kernel's ephemeral range. A port from bind(0) would be within it, and
    an outgoing connection of another process could take it before the server does. Worse, while
    Redis is down, a client that keeps connecting to such a port can be assigned the same port as
    its local port and connect to itself.
    """
    top = _lowest_ephemeral_port()
    for _ in range(200):
        port = random.SystemRandom().randrange(max(10240, top - 16384), top)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        if _reserve(port):
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def can_connect(address):
    """True if a connection to the address is accepted."""
    try:
        open_socket(address).close()
        return True
    except OSError:
        return False


def open_socket(address, receive_buffer=None, timeout=10):
    """Returns a connected socket. A small receive buffer has to be set before connecting."""
    if isinstance(address, str):
        family, target = socket.AF_UNIX, address
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        target = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(timeout)
        sock.connect(target)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock
