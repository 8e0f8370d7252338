"""A WebSocket client that can send arbitrary bytes and checks everything it receives.

Client is one connection; every call waits, up to a timeout. Swarm drives thousands of clients in one
thread. All sockets are non-blocking, so both use the same code: pull() takes the data that has
arrived, and a caller that needs more waits in poll(2).
"""

import base64
import json
import select
import socket
import struct
import time
from collections import deque
from typing import Any, NamedTuple
from urllib.parse import quote

from . import frames as ws
from .http import KEY, accept_of, split_response, upgrade_head
from .net import open_socket
from .wait import TIMEOUT

ERROR, HELLO, PING, PONG, SUB, SUBBED, UNSUB, UNSUBBED, ACCEPTED, GAP, AUTH, BYE = range(12)

SUBPROTOCOL = {"binary": "push.bin.v1", "json": "push.json.v1"}


class Closed(AssertionError):
    """The connection ended while a message was awaited."""

    def __init__(self, how, code=None, reason=""):
        super().__init__(f"closed: {how} {code or ''} {reason}")
        self.how, self.code, self.reason = how, code, reason


class Message(NamedTuple):
    """A message of the opcode protocol.

    payload by form: "binary" bytes, "data" the JSON value, "text" str, "b64" bytes, "none" None.
    """

    op: int
    payload: Any
    form: str = "binary"

    def json(self):
        """Returns the payload as JSON, in either mode."""
        if self.form == "binary":
            return json.loads(self.payload)
        assert self.form == "data", f"no JSON payload: {self}"
        return self.payload

    def bytes(self):
        """Returns the payload as bytes; fails for the form "data", which does not preserve them."""
        assert self.form != "data", "JSON has no exact bytes once it is parsed"
        if self.form == "none":
            return b""
        return self.payload.encode() if self.form == "text" else self.payload


def encode_binary(op, payload=b""):
    return struct.pack(">I", op) + payload


def encode_json(op, **payload):
    """Returns {"op":op} as JSON, with data=, text= or b64= (given as bytes)."""
    if "b64" in payload:
        payload["b64"] = base64.b64encode(payload["b64"]).decode()
    return json.dumps({"op": op, **payload}, ensure_ascii=False).encode()


def decode_binary(frame_payload):
    assert len(frame_payload) >= 4, f"the server sent a short message: {frame_payload!r}"
    return Message(struct.unpack_from(">I", frame_payload)[0], frame_payload[4:])


def _no_duplicates(pairs):
    assert len(dict(pairs)) == len(pairs), f"a member twice: {pairs}"
    return dict(pairs)


def decode_json(text):
    message = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates)
    forms = [form for form in ("data", "text", "b64") if form in message]
    assert set(message) == {"op", *forms} and len(forms) <= 1, f"odd members: {message}"
    assert type(message["op"]) is int
    if not forms:
        return Message(message["op"], None, "none")
    value = message[forms[0]]
    if forms[0] == "b64":
        value = base64.b64decode(value, validate=True)
    return Message(message["op"], value, forms[0])


class Client:
    def __init__(self, address, receive_buffer=None):
        self.address = address
        self.sock = open_socket(address, receive_buffer)
        self.sock.setblocking(False)
        self.mode = "binary"
        self.auto_pong = True
        self.response = None      # to the handshake, once it is complete
        self.hello = None         # the payload of HELLO, once received
        self.frames = deque()     # received, not read by the test yet
        self.ended = None         # "eof" or "reset"
        self.fault = None         # a violation by the server that pull() has found
        self._raw = bytearray()   # received before the upgrade
        self._reader = ws.FrameReader()
        self._parts = None        # of a fragmented message

    # The socket.

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def _wait(self, events, deadline):
        poller = select.poll()
        poller.register(self.sock, events)
        left = deadline - time.monotonic()
        return bool(left > 0 and poller.poll(left * 1000))

    def send_bytes(self, data, timeout=TIMEOUT):
        """Sends everything. Raises an error if the peer is gone, TimeoutError if it does not read."""
        view, deadline = memoryview(data), time.monotonic() + timeout
        while view:
            try:
                view = view[self.sock.send(view):]
            except BlockingIOError:
                if not self._wait(select.POLLOUT, deadline):
                    raise TimeoutError("the server does not read its socket") from None

    def offer_bytes(self, data):
        """Sends as much as the peer takes; it may be gone. For bytes that make the server close."""
        try:
            self.send_bytes(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def pull(self):
        """Reads the data that has arrived, without waiting; returns the number of bytes."""
        total = 0
        while self.ended is None:
            try:
                data = self.sock.recv(262144)
            except BlockingIOError:
                break
            except (ConnectionResetError, BrokenPipeError):
                self.ended = "reset"
                break
            if not data:
                self.ended = "eof"
            total += len(data)
            self._take(data)
            if len(data) < 262144:
                break
        return total

    def _take(self, data):
        if self.response is None or self.response.status != 101:
            self._raw += data
            split = split_response(self._raw, self.ended is not None) if self._raw else None
            if not split:
                return
            self.response, data = split
            self._raw = bytearray(data)
            if self.response.status != 101:
                return
        try:
            for got in self._reader.feed(data):
                self.frames.append(got)
                if got.opcode == ws.PING and self.auto_pong:
                    self.offer_bytes(ws.frame(ws.PONG, got.payload))
        except ws.ServerFault as fault:
            self.fault = fault
            raise

    # The handshake.

    def send_upgrade(self, user=None, *, mode="binary", path=None, **head):
        """Sends the opening handshake; `head` as for upgrade_head()."""
        self.mode = mode
        extra = list(head.pop("extra", ()))
        if mode in SUBPROTOCOL and path is None:
            extra.append(("Sec-WebSocket-Protocol", SUBPROTOCOL[mode]))
        if path is None:
            path = "/echo" if mode == "echo" else "/ws"
        if user is not None:
            path += "?user=" + quote(user, safe="")
        self.send_bytes(upgrade_head(path, extra=extra, **head))

    def recv_response(self, timeout=TIMEOUT):
        """Returns the response to the handshake."""
        deadline = time.monotonic() + timeout
        while self.response is None:
            if self.pull() == 0 and self.response is None:
                if self.ended:
                    raise Closed(self.ended)
                assert self._wait(select.POLLIN, deadline), \
                    f"no HTTP response; so far: {bytes(self._raw)!r}"
        return self.response

    def expect_upgrade(self, key=KEY):
        response = self.recv_response()
        assert response.status == 101, f"{response.status} {response.body!r}"
        assert response.header("Upgrade").lower() == "websocket"
        assert response.header("Connection").lower() == "upgrade"
        assert response.header("Sec-WebSocket-Accept") == accept_of(key)
        return response

    def expect_hello(self):
        message = self.recv_message()
        assert message.op == HELLO, f"HELLO comes first, not {message}"
        self.hello = message.json()
        return self.hello

    # Sending.

    def send_frame(self, opcode, payload=b"", **wrong):
        self.send_bytes(ws.frame(opcode, payload, **wrong))

    def send_message(self, op, payload=b""):
        """Sends a message of binary mode."""
        self.send_frame(ws.BINARY, encode_binary(op, payload))

    def send_json(self, op, **payload):
        """Sends a message of JSON mode: data=, text= or b64=."""
        self.send_frame(ws.TEXT, encode_json(op, **payload))

    def send_close(self, code=1000, reason=b""):
        self.send_frame(ws.CLOSE, ws.close_payload(code, reason))

    # Receiving.

    def recv_frame(self, timeout=TIMEOUT):
        """Returns the next frame of any kind."""
        deadline = time.monotonic() + timeout
        while not self.frames:
            if self.pull() == 0 and not self.frames:
                if self.ended:
                    raise Closed(self.ended)
                assert self._wait(select.POLLIN, deadline), f"no frame within {timeout} s"
        return self.frames.popleft()

    def recv_data(self, timeout=TIMEOUT):
        """Returns (TEXT or BINARY, payload) of the next complete message; skips pings and pongs."""
        while True:
            got = self.recv_frame(timeout)
            if got.opcode == ws.CLOSE:
                raise self._closed(got)
            if got.opcode & 0x08:
                continue
            if got.opcode != ws.CONTINUATION:
                self._parts = (got.opcode, [])
            self._parts[1].append(got.payload)
            if got.fin:
                return self._parts[0], b"".join(self._parts[1])

    def recv_message(self, timeout=TIMEOUT):
        """Returns the next message of the opcode protocol."""
        return self.decode(*self.recv_data(timeout))

    def decode(self, opcode, payload):
        if self.mode == "json":
            assert opcode == ws.TEXT, "JSON mode sends text frames"
            return decode_json(payload)
        assert opcode == ws.BINARY, "binary mode sends binary frames"
        return decode_binary(payload)

    def messages(self):
        """Returns the messages pulled so far, without waiting. Stops before a close frame."""
        out = []
        while self.frames and self.frames[0].opcode != ws.CLOSE:
            got = self.frames.popleft()
            if not got.opcode & 0x08:
                assert got.fin, "use recv_message for fragments"
                out.append(self.decode(got.opcode, got.payload))
        return out

    def recv_pong(self, timeout=TIMEOUT):
        """Returns the payload of the next pong."""
        got = self.recv_frame(timeout)
        assert got.opcode == ws.PONG, f"no pong but {got}"
        return got.payload

    def expect_silence(self):
        """Asserts that nothing was sent to this client: a PING of the opcode protocol gets only its PONG."""
        mark = struct.pack(">d", time.monotonic()).hex()
        if self.mode == "json":
            self.send_json(PING, text=mark)
        else:
            self.send_message(PING, mark.encode())
        message = self.recv_message()
        assert (message.op, message.bytes()) == (PONG, mark.encode()), f"unexpected: {message}"

    def echo(self, payload=b"still here"):
        """Makes one round trip on the echo path."""
        self.send_frame(ws.BINARY, payload)
        assert self.recv_data() == (ws.BINARY, payload)

    # The end.

    @staticmethod
    def _closed(got):
        code = struct.unpack_from(">H", got.payload)[0] if got.payload else 1005
        return Closed("close frame", code, got.payload[2:].decode("utf-8"))

    def expect_close(self, *codes, skip_data=False, timeout=TIMEOUT):
        """Expects the server's close frame with one of the codes, and then the end of the connection.

        Returns (code, reason). skip_data: messages may precede it.
        """
        while True:
            got = self.recv_frame(timeout)
            if got.opcode == ws.CLOSE:
                break
            assert skip_data or got.opcode & 0x08, f"no close frame but {got}"
        closed = self._closed(got)
        assert closed.code in codes, f"closed with {closed.code} {closed.reason!r}, not {codes}"
        payload = b"" if closed.code == 1005 else ws.close_payload(closed.code)
        self.offer_bytes(ws.frame(ws.CLOSE, payload))
        self.expect_end(timeout)
        self.close()
        return closed.code, closed.reason

    def expect_end(self, timeout=TIMEOUT):
        """Expects the connection to end, by FIN or RST, without another frame."""
        deadline = time.monotonic() + timeout
        while self.ended is None:
            self.pull()
            if self.ended is None:
                assert self._wait(select.POLLIN, deadline), "the server does not close"
        assert not self.frames, f"frames after the close: {list(self.frames)[:3]}"
        return self.ended

    def drain(self, timeout=TIMEOUT):
        """Reads until the connection ends in any way. Returns ([messages], close code or None)."""
        out = []
        while True:
            try:
                out.append(self.recv_message(timeout))
            except Closed as closed:
                return out, closed.code


class Swarm:
    """Many clients in one thread: pump() reads from all of them until a condition holds."""

    def __init__(self):
        self.clients = []
        self._poll = select.epoll()
        self._by_fd = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
        self._poll.close()

    def add(self, client):
        self.clients.append(client)
        self._by_fd[client.fileno()] = client
        self._poll.register(client.fileno(), select.EPOLLIN)
        return client

    def remove(self, client):
        self._forget(client.fileno())
        self.clients.remove(client)

    def _forget(self, fd):
        if self._by_fd.pop(fd, None):
            self._poll.unregister(fd)

    def connect(self, address, users, mode="binary", batch=200, **upgrade):
        """Connects one client for each user and awaits HELLO. A repeated name is a second device."""
        made, users = [], list(users)
        for at in range(0, len(users), batch):
            fresh = [self.add(Client(address)) for _ in users[at:at + batch]]
            for client, user in zip(fresh, users[at:at + batch]):
                client.send_upgrade(user, mode=mode, **upgrade)
            self.pump(lambda fresh=fresh: all(c.frames or c.ended for c in fresh), "every HELLO")
            for client in fresh:
                client.expect_upgrade()
                client.expect_hello()
            made += fresh
        return made

    def pump(self, done, what, timeout=TIMEOUT):
        """Reads until done() is true; calls it after each turn. what: a text, or a function for it."""
        deadline = time.monotonic() + timeout
        while not done():
            left = deadline - time.monotonic()
            assert left > 0, f"waited {timeout} s in vain for: {what() if callable(what) else what}"
            for fd, _ in self._poll.poll(min(left, 0.05)):
                client = self._by_fd[fd]
                client.pull()
                if client.ended:
                    self._forget(fd)

    def pump_for(self, seconds):
        """Reads for a while. Only to let time pass, never to wait for an event."""
        end = time.monotonic() + seconds
        self.pump(lambda: time.monotonic() >= end, "the time to pass", timeout=seconds + TIMEOUT)
