"""Free ports, and sockets to an address: (host, port) for TCP, a path for a unix socket."""

import random
import socket


def _lowest_ephemeral_port():
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        return int(file.read().split()[0])


def free_port():
    """A loopback port that nothing listens on.

    It lies below the kernel's ephemeral range. A port from bind(0) would lie in it, and then
    somebody's outgoing connection may take it before the server does; worse, while a test has
    Redis down, a client that keeps connecting to such a port can be given the very same port as
    its own and connect to itself.
    """
    top = _lowest_ephemeral_port()
    for _ in range(200):
        port = random.SystemRandom().randrange(max(10240, top - 16384), top)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port on 127.0.0.1")


def can_connect(address):
    """Whether somebody listens there."""
    try:
        open_socket(address).close()
        return True
    except OSError:
        return False


def open_socket(address, receive_buffer=None, timeout=10):
    """A connected socket. A small receive buffer must be asked for before connecting."""
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
