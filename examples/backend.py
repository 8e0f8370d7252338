#!/usr/bin/python3
"""The backend of an application, in small: consumes what clients ask, and answers by pushes.

    examples/backend.py [--redis redis://127.0.0.1:6379/0] [--name worker-1]

    client A ──110 {"to":"7","text":"hi"}──▶ wspushd ──XADD──▶ push:requests ──▶ this program
                                                                                  │ stores it
    client B ◀──110 {"from":"42",...}────── wspushd ◀──PUBLISH push:user:7 ───────┤ 1: B is online
    client A ◀──110 {"to":"7","online":true}─ wspushd ◀─PUBLISH push:user:42 ─────┘ 0: B is not

Any number of these may run: a consumer group gives each request to one of them. A request is
acknowledged when it is done; what a dead program has left undone, another takes over. So a request
may be done twice, which is why what it does here may be done twice.

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
ABANDONED_MS = 30_000  # unacknowledged for so long: whoever had it is dead
ADD_FRIEND, GET_INFO = 110, 111


class BadRequest(Exception):
    """What the client asked for makes no sense; said to the client."""


def say(text):
    print(f"backend: {text}", flush=True)


class Backend:
    def __init__(self, connection, prefix="push:"):
        self.redis = connection
        self.prefix = prefix

    def push(self, user, op, data, conn=None):
        """To every connection of the user, or to one. Returns whether the user is online."""
        envelope = {"op": op, "data": data, **({"conn": conn} if conn else {})}
        return self.redis.publish(f"{self.prefix}user:{user}", json.dumps(envelope)) > 0

    # What clients may ask for.

    def add_friend(self, request):
        """110 {"to":"7","text":"..."}: stored, pushed to the other, and the asker is told."""
        asked = request.object()
        to, text = asked.get("to"), asked.get("text", "")
        if not isinstance(to, str) or not 1 <= len(to.encode()) <= 63:
            raise BadRequest('add friend needs {"to":"<user>"}')
        if not isinstance(text, str):
            raise BadRequest("text is not a string")
        # Stored first: a push is a hint, and the other may be offline. Asking again changes nothing.
        self.redis.hset(f"friend-requests:{to}", request.user, text)
        online = self.push(to, ADD_FRIEND, {"from": request.user, "text": text})
        self.push(request.user, ADD_FRIEND, {"to": to, "online": online}, request.conn)
        # Offline: here an application sends it by APNs or FCM.
        say(f"{request.user} asks {to} to be friends; {to} is {'online' if online else 'offline'}")

    def get_info(self, request):
        """111: answers the connection that asks, and no other of the user's."""
        waiting = self.redis.hgetall(f"friend-requests:{request.user}")
        self.push(request.user, GET_INFO, {
            "user": request.user,
            "time": int(time.time()),
            "friend_requests": [{"from": who.decode(), "text": text.decode()}
                                for who, text in sorted(waiting.items())],
        }, request.conn)
        say(f"{request.user} gets his info: {len(waiting)} friend requests")

    handlers = {ADD_FRIEND: add_friend, GET_INFO: get_info}

    # The stream.

    def handle(self, request):
        """Does what is asked. A request that is wrong is answered, and done with."""
        handler = self.handlers.get(request.op)
        try:
            if handler is None:
                raise BadRequest("no such request")
            handler(self, request)
        except BadRequest as wrong:
            self.push(request.user, request.op, {"error": str(wrong)}, request.conn)
            say(f"{request.user} sent a bad request {request.op}: {wrong}")

    def run(self, name):
        """Forever. A request is acknowledged only after it is done."""
        create_group(self.redis)
        say(f"consumes {STREAM} as {name} of {GROUP}")
        while True:
            _, abandoned, *_ = self.redis.xautoclaim(STREAM, GROUP, name, ABANDONED_MS, "0")
            fresh = self.redis.xreadgroup(GROUP, name, {STREAM: ">"}, count=64,
                                          block=None if abandoned else 5000)
            for entry, fields in abandoned + (fresh[0][1] if fresh else []):
                if fields:  # none: trimmed from the stream meanwhile
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
    """From the beginning of the stream, so that what came before the first start is not lost."""
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
            # Redis was emptied, before it was asked or while it was waited for: the group is made
            # again.
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
