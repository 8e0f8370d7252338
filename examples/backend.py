#!/usr/bin/python3
"""A small example backend: consumes clients' requests and answers them with pushes.

    examples/backend.py [--redis redis://127.0.0.1:6379/0] [--name worker-1]

    client A ──110 {"to":"7","text":"hi"}──▶ wspushd ──XADD──▶ push:requests ──▶ this program
                                                                                  │ stores it
    client B ◀──110 {"from":"42",...}────── wspushd ◀──PUBLISH push:user:7 ───────┤ 1: B is online
    client A ◀──110 {"to":"7","online":true}─ wspushd ◀─PUBLISH push:user:42 ─────┘ 0: B is not

Any number of these may run: a consumer group gives each request to one of them. A request is
acknowledged when it is done; another program takes over the unfinished requests of a dead one. So a
request may be processed twice, and processing here is idempotent.

Needs Debian's python3-redis.
"""

import argparse
import json
import signal
import socket
import sys
import time

import redis

STREAM = "push:requests"
GROUP = "app"
ABANDONED_MS = 30_000  # unacknowledged for so long: its consumer is dead
ADD_FRIEND, GET_INFO = 110, 111


class BadRequest(Exception):
    """The client's request is invalid; the message is sent to the client."""


def say(text):
    print(f"backend: {text}", flush=True)


class Backend:
    def __init__(self, connection, prefix="push:"):
        self.redis = connection
        self.prefix = prefix

    def push(self, user, op, data, conn=None):
        """Pushes to every connection of the user, or to one. Returns True if the user is online."""
        envelope = {"op": op, "data": data, **({"conn": conn} if conn else {})}
        return self.redis.publish(f"{self.prefix}user:{user}", json.dumps(envelope)) > 0

    # The requests that clients may send.

    def add_friend(self, request):
        """110 {"to":"7","text":"..."}: stores the text, pushes it to the other user, and tells the
        sender."""
        asked = request.object()
        to, text = asked.get("to"), asked.get("text", "")
        if not isinstance(to, str) or not 1 <= len(to.encode()) <= 63:
            raise BadRequest('add friend needs {"to":"<user>"}')
        if not isinstance(text, str):
            raise BadRequest("text is not a string")
        # Stored first: a push is a hint, and the other may be offline. A repeated request changes
        # nothing.
        self.redis.hset(f"friend-requests:{to}", request.user, text)
        online = self.push(to, ADD_FRIEND, {"from": request.user, "text": text})
        self.push(request.user, ADD_FRIEND, {"to": to, "online": online}, request.conn)
        # Offline: here an application sends it by APNs or FCM.
        say(f"{request.user} asks {to} to be friends; {to} is {'online' if online else 'offline'}")

    def get_info(self, request):
        """111: answers only the connection that sent the request."""
        waiting = self.redis.hgetall(f"friend-requests:{request.user}")
        self.push(request.user, GET_INFO, {
            "user": request.user,
            "time": int(time.time()),
            "friend_requests": [{"from": who.decode(), "text": text.decode()}
                                for who, text in sorted(waiting.items())],
        }, request.conn)
        say(f"{request.user} gets their info: {len(waiting)} friend requests")

    handlers = {ADD_FRIEND: add_friend, GET_INFO: get_info}

    # The stream.

    def handle(self, request):
        """Processes a request. An invalid one is answered with an error and is then done."""
        handler = self.handlers.get(request.op)
        try:
            if handler is None:
                raise BadRequest("no such request")
            handler(self, request)
        except BadRequest as wrong:
            self.push(request.user, request.op, {"error": str(wrong)}, request.conn)
            say(f"{request.user} sent a bad request {request.op}: {wrong}")

    def run(self, name):
        """Runs forever. A request is acknowledged only after it is done."""
        create_group(self.redis)
        say(f"consumes {STREAM} as {name} of {GROUP}")
        while True:
            _, abandoned, *_ = self.redis.xautoclaim(STREAM, GROUP, name, ABANDONED_MS, "0")
            fresh = self.redis.xreadgroup(GROUP, name, {STREAM: ">"}, count=64,
                                          block=None if abandoned else 5000)
            for entry, fields in abandoned + (fresh[0][1] if fresh else []):
                if fields:  # none: it was trimmed from the stream meanwhile
                    self.handle(Request(fields))
                self.redis.xack(STREAM, GROUP, entry)


class Request:
    """One entry of the stream, as wspushd writes it."""

    def __init__(self, fields):
        self.op = int(fields[b"op"])
        self.user = fields[b"user"].decode()
        self.conn = fields[b"conn"].decode()
        self.data = fields[b"data"]

    def object(self):
        try:
            value = json.loads(self.data)
        except ValueError as error:
            raise BadRequest("the payload is not JSON") from error
        if not isinstance(value, dict):
            raise BadRequest("the payload is not a JSON object")
        return value


def create_group(connection):
    """Creates the group at the beginning of the stream, so that earlier requests are not lost."""
    try:
        connection.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def main():
    parser = argparse.ArgumentParser(description="The example backend of wspushd.")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0", help="redis:// or unix://")
    parser.add_argument("--name", default=socket.gethostname(), help="of this consumer")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        try:
            Backend(redis.from_url(options.redis)).run(options.name)
        except redis.ConnectionError as error:
            say(f"Redis: {error}; again in a second")
            time.sleep(1)
        except redis.ResponseError as error:
            # Redis was emptied, before or during the blocking read: the group is created again.
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
