"""wspush-bench as a process, and servers other than wspushd for it to measure. Its results must be
right for any server, including one that loses or reorders messages.
"""

import asyncio
import contextlib
import json
import subprocess
import threading

import websockets

from .net import free_port
from .process import die_with_us
from .wait import TIMEOUT, WSPUSHD

BENCH = WSPUSHD.with_name("wspush-bench")


class Bench:
    """A running wspush-bench. options: connections=10 becomes --connections 10."""

    def __init__(self, url, *flags, **options):
        options = {"drain": "500ms", "warmup": "100ms", "settle": "50ms", **options}
        pairs = [text for name, value in options.items()
                 for text in ("--" + name.replace("_", "-"), str(value))]
        self.process = subprocess.Popen(
            [BENCH, "--quiet", "--json", "-", *pairs, *flags, url], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, preexec_fn=die_with_us)

    def end(self, status=0, timeout=TIMEOUT * 2):
        """Returns the results, one for each mode, and asserts the exit status."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"wspush-bench does not end:\n{self.process.communicate()}") from None
        assert self.process.returncode == status, f"exit {self.process.returncode}: {err}\n{out}"
        return json.loads(out) if out else err

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def run_bench(url, *flags, status=0, **options):
    return Bench(url, *flags, **options).end(status)


class PushServer:
    """A WebSocket push server in Python. `deliver(count, message)` returns the list of messages that a
    user gets for message number `count`; they are sent after `delay` seconds. Messages come from a
    Redis or by HTTP POST."""

    def __init__(self, deliver=lambda count, message: [message], greet=None, wrap=None, hear=None,
                 delay=0):
        self._delay = delay
        self._deliver, self._greet = deliver, greet
        self._wrap, self._hear = wrap or (lambda message: message), hear
        self._users, self._counts = {}, {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._run(self._listen())
        self._pubsub = self._pump = None

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT)

    async def _listen(self):
        self._server = await websockets.serve(self._serve, "127.0.0.1", free_port(),
                                              compression=None, subprotocols=["push.bin.v1"])
        return self._server.sockets[0].getsockname()[1]

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/ws"

    async def _serve(self, ws, path):
        user = path.rsplit("user=", 1)[1]
        if self._greet:
            await self._greet(ws)
        self._users[user] = ws
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in ws:
                if self._hear:
                    await self._hear(ws, message)

    async def publish(self, user, message):
        count = self._counts[user] = self._counts.get(user, -1) + 1
        if self._delay:
            self._loop.call_later(self._delay, lambda: self._loop.create_task(
                self._send(user, self._deliver(count, message))))
        else:
            await self._send(user, self._deliver(count, message))

    async def _send(self, user, messages):
        for one in messages:
            with contextlib.suppress(websockets.ConnectionClosed):
                await self._users[user].send(self._wrap(one))

    def subscribe(self, client, prefix):
        """Takes pushes from a Redis, on the channels prefix + user."""
        self._pubsub = client.pubsub()

        def message(found):
            user = found["channel"].decode().removeprefix(prefix)
            self._run(self.publish(user, found["data"]))

        self._pubsub.psubscribe(**{prefix + "*": message})
        assert self._pubsub.get_message(timeout=TIMEOUT)["type"] == "psubscribe"
        self._pump = self._pubsub.run_in_thread(sleep_time=0.01, daemon=True)
        return self

    def listen_http(self):
        """Takes pushes by POST /pub?id=USER, pipelined; returns the URL."""
        async def serve(reader, writer):
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    user = head.split("id=", 1)[1].split(" ", 1)[0]
                    length = int(head.split("Content-Length: ", 1)[1].split("\r\n", 1)[0])
                    await self.publish(user, await reader.readexactly(length))
                    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nok\n")

        async def listen():
            self._http = await asyncio.start_server(serve, "127.0.0.1", free_port())
            return self._http.sockets[0].getsockname()[1]

        return f"http://127.0.0.1:{self._run(listen())}"

    def stop(self):
        if self._pump:
            self._pump.stop()
            self._pump.join(TIMEOUT)
            self._pubsub.close()

        async def close():
            self._server.close()
            await self._server.wait_closed()

        self._run(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT)
        self._loop.close()


PEER = '''#!/usr/bin/python3
import asyncio, sys
import redis.asyncio, websockets

async def main(port, redis_port):
    users = {{}}

    async def serve(ws, path):
        users[path.rsplit("user=", 1)[1]] = ws
        async for _ in ws:
            pass

    pubsub = redis.asyncio.Redis(port=redis_port).pubsub()
    await pubsub.psubscribe("push:user:*", "push:all")
    async with websockets.serve(serve, "127.0.0.1", port, compression=None):
        print("READY", flush=True)
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                user = message["channel"].decode().rpartition(":")[2]
                for name in list(users) if user == "all" else {to}:
                    try:
                        await users[name].send(message["data"])
                    except websockets.ConnectionClosed:
                        pass

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
'''


def make_peers(directory, to="[user]"):
    """Makes a folder like bench/peers, with one peer, called floor. `to`: the users to whom it sends a
    message for `user`, as a Python expression."""
    program = directory / "floor/run"
    program.parent.mkdir(parents=True)
    program.write_text(PEER.format(to=to))
    program.chmod(0o755)
    return directory
