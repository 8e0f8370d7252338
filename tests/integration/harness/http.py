"""HTTP as bytes: builds request heads that may be invalid, and parses responses strictly."""

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field

from .net import open_socket
from .wait import TIMEOUT

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455 §1.3."""

HEAD_LIMIT = 8192
"""The longest request head that the server reads, with its empty line."""


def accept_of(key):
    """Returns Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


def upgrade_head(target="/ws?user=u", *, method="GET", version="HTTP/1.1", host="127.0.0.1",
                 replace=None, extra=()):
    """Builds a client's opening handshake.

    replace: {header name: new value, or None to leave the header out}
    extra:   further (name, value) pairs, after the usual ones
    """
    headers = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade",
               "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
    headers.update(replace or {})
    lines = [f"{method} {target} {version}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    lines += [f"{name}: {value}" for name, value in extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def padded_head(size, **kwargs):
    """Builds an upgrade head of exactly `size` bytes."""
    short = len(upgrade_head(extra=[("X-Padding", "")], **kwargs))
    head = upgrade_head(extra=[("X-Padding", "p" * (size - short))], **kwargs)
    assert len(head) == size
    return head


@dataclass
class Response:
    status: int
    reason: str
    headers: list = field(default_factory=list)
    body: bytes = b""

    def header(self, name):
        """Returns a header's value, or None; fails if the header is repeated."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} comes {len(values)} times"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)


def parse_head(head):
    """Parses a response head, including its empty line, strictly."""
    lines = head.decode("latin-1").split("\r\n")
    assert lines[-2:] == ["", ""], f"no empty line: {head!r}"
    assert "\n" not in "".join(lines) and "\r" not in "".join(lines), f"stray CR or LF: {head!r}"
    version, status, reason = lines[0].split(" ", 2)
    assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
    headers = []
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        assert colon and name and name == name.strip(), f"bad header line: {line!r}"
        headers.append((name, value.strip()))
    return Response(int(status), reason, headers)


def split_response(raw, ended):
    """Returns (response, rest) from received bytes, or None while more are needed."""
    end = raw.find(b"\r\n\r\n")
    if end < 0:
        return None
    response = parse_head(bytes(raw[:end + 4]))
    rest = bytes(raw[end + 4:])
    if response.status == 101:
        return response, rest
    length = response.header("Content-Length")
    if length is not None:
        if len(rest) < int(length):
            assert not ended, f"body cut short: {len(rest)} of {length} bytes"
            return None
        response.body, rest = rest[:int(length)], rest[int(length):]
        return response, rest
    if response.header("Transfer-Encoding") == "chunked":
        body = _unchunk(rest)
        if body is None:
            assert not ended, "chunked body cut short"
            return None
        response.body = body
        return response, b""
    if not ended:
        return None
    response.body = rest
    return response, b""


def _unchunk(rest):
    body = b""
    while True:
        line, crlf, rest = rest.partition(b"\r\n")
        if not crlf:
            return None
        size = int(line.split(b";")[0], 16)
        if len(rest) < size + 2:
            return None
        body, rest = body + rest[:size], rest[size + 2:]
        if size == 0:
            return body


def request(address, target, method="GET", headers=(), body=b"", timeout=TIMEOUT):
    """Sends one request on a new connection and returns the response."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    with open_socket(address, timeout=timeout) as sock:
        sock.sendall(head + body)
        return read_response(sock, timeout)


def read_response(sock, timeout=TIMEOUT):
    """Reads one response from a blocking socket."""
    deadline = time.monotonic() + timeout
    raw, ended = bytearray(), False
    while True:
        split = split_response(raw, ended)
        if split:
            return split[0]
        assert not ended, f"the connection ended within a response: {bytes(raw)!r}"
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        data = sock.recv(65536)
        raw += data
        ended = not data
