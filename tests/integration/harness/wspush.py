"""wspush as a process, and servers to test it against without wspushd: well-behaved ones based on
python3-websockets, and bare ones that send arbitrary bytes.
"""

import asyncio
import contextlib
import json
import os
import queue
import re
import socket
import struct
import subprocess
import threading
import time
from http import HTTPStatus

import pytest
import websockets

from .http import accept_of
from .wait import WSPUSHD

WSPUSH = WSPUSHD.with_name("wspush")
PATIENCE = 10
HELLO = {"conn": "c1", "user": "42", "node": "n1", "heartbeat": 25, "server": "wspushd/0.1.0"}


def binary(op, payload=b""):
    return struct.pack(">I", op) + payload


def hello(**members):
    return binary(1, json.dumps({**HELLO, **members}).encode())


class Wspush:
    """A running wspush. Reads lines as they arrive; expect() waits for one."""

    def __init__(self, *arguments, stdin=subprocess.PIPE, env=None):
        self.process = subprocess.Popen(
            [WSPUSH, *arguments], stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
        self.out, self.err = b"", b""
        self._lines = queue.Queue()
        self._threads = [threading.Thread(target=self._read, args=(name,), daemon=True)
                         for name in ("out", "err")]
        for thread in self._threads:
            thread.start()

    def _read(self, name):
        for line in getattr(self.process, "std" + name):
            setattr(self, name, getattr(self, name) + line)
            self._lines.put(line.decode(errors="replace"))

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def expect(self, pattern):
        """Returns the next line of stdout or stderr that matches the pattern."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line with {pattern!r} in:\n{self.out!r}\n{self.err!r}")
            if re.search(pattern, line):
                return line

    def wait(self):
        """Reads all output, then returns the exit status."""
        status = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return status

    def destroy(self):
        self.process.kill()
        self.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class Peer:
    """A WebSocket server based on python3-websockets. Runs `handler(peer, ws)` for each connection;
    the test gets with next() what the handler puts into `seen`."""

    def __init__(self, handler, **options):
        self.seen = queue.Queue()
        self.connections = 0
        options.setdefault("subprotocols", ["push.bin.v1", "push.json.v1"])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(self._listen(handler, options))
        if "unix" not in options:
            self.port = self._server.sockets[0].getsockname()[1]

    async def _listen(self, handler, options):
        async def serve(ws, _path=None):
            self.connections += 1
            with contextlib.suppress(websockets.ConnectionClosed):
                await handler(self, ws)

        path = options.pop("unix", None)
        if path:
            return await websockets.unix_serve(serve, path, **options)
        return await websockets.serve(serve, "127.0.0.1", 0, **options)

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def url(self, path="/ws", scheme="ws"):
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def next(self):
        return self.seen.get(timeout=PATIENCE)

    def stop(self):
        async def stop():
            self._server.close()
            await self._server.wait_closed()

        self._run(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class RawPeer:
    """A server that answers only one handshake, and then runs `talk(sock)`."""

    def __init__(self, talk=None, answer=None):
        self._talk, self._answer = talk, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/ws"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            self._listener.close()
            with sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += sock.recv(4096)
                key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1].decode()
                sock.sendall(self._answer(key) if self._answer else self.switching(key))
                if self._talk:
                    self._talk(sock)

    @staticmethod
    def switching(key, subprotocol="push.bin.v1"):
        return (f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept_of(key)}\r\n"
                f"Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n").encode()

    def stop(self):
        self._listener.close()
        self._thread.join(PATIENCE)


@pytest.fixture
def wspush():
    """wspush(argument, ...) starts a wspush."""
    made = []

    def start(*arguments, **options):
        made.append(Wspush(*arguments, **options))
        return made[-1]

    yield start
    for process in made:
        process.destroy()


@pytest.fixture
def peer():
    """peer(handler, ...) starts a Peer; peer(raw=talk or answer=...) a RawPeer."""
    made = []

    def start(handler=None, *, raw=None, answer=None, **options):
        made.append(Peer(handler, **options) if handler else RawPeer(raw, answer))
        return made[-1]

    yield start
    for server in made:
        server.stop()


async def ready(peer, ws):
    """Greets, and reports each message."""
    await ws.send(hello())
    async for message in ws:
        peer.seen.put(message)


async def echo(_peer, ws):
    async for message in ws:
        await ws.send(message)


def closing(code, reason=""):
    """Returns a handler that greets and closes."""
    async def handler(peer, ws):
        peer.seen.put(time.monotonic())
        await ws.send(hello())
        await ws.close(code, reason)
    return handler


def sending(*messages):
    """Returns a handler that greets, sends these messages, and then reports those it receives."""
    async def handler(peer, ws):
        await ws.send(hello())
        for message in messages:
            await ws.send(message)
        async for message in ws:
            peer.seen.put(message)
    return handler


def refusing(status, body=b"", headers=()):
    """Returns a process_request that refuses every handshake."""
    async def refuse(_path, _headers):
        return HTTPStatus(status), list(headers), body
    return refuse
