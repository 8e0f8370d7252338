"""Hostile clients ("strangers") that send random input to a running server, and users who must not notice.

Fuzzer.step() does one random thing: a handshake that may be invalid, frames that may be damaged, a close
frame in the segment of the handshake, a kick, a push, a request to the admin interface, a connection that
is reset. Every push carries its user's name, or its topic's, and a number:

    to NAME user NUMBER       in push:user:NAME
    to NAME TOPIC NUMBER      in the user's own topics, push:topic:user:NAME:TOPIC
    room NAME topic NUMBER    in push:topic:room:NAME

so every message shows whether its receiver may have it and whether it is a duplicate. The same seed repeats
the same steps, as far as the server's timing allows.
"""

import json
import struct
from collections import Counter

from . import frames as ws
from .client import SUB, SUBPROTOCOL, UNSUB, Client
from .http import request, upgrade_head

STRANGERS = [f"s{n}" for n in range(16)]
HONEST = [f"honest{n}" for n in range(8)]
ROOMS = ["a", "b", "c", "d"]
OWN_TOPICS = ["one", "two"]
OPS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99, 100, 110, 111, 112, 113, 114, 2**24 - 1, 2**24, 2**32 - 1]
PUSH = 120 # the opcode of every push; requests never use it
MOST = 60  # maximum of the strangers' simultaneous connections

TOPICS = ["user:{user}:*", "room:*"]


class Leak(AssertionError):
    """A client got another user's message, or got a message twice."""


def topics_of(user):
    return [f"user:{user}:{name}" for name in OWN_TOPICS]


class Reader:
    """Checks that one connection gets only messages that it may have."""

    def __init__(self, client, user, counts, trusted=True):
        self.client, self.user, self.counts = client, user, counts
        self.trusted = trusted  # False: its handshake was damaged, so only its frames are checked
        self.last = {}          # channel -> number of the last push

    def read(self):
        """Reads the data that has arrived. Raises Leak, or ServerFault if it violates RFC 6455."""
        self.client.pull()
        response = self.client.response
        if response is None or response.status != 101 or self.client.mode == "echo" or not self.trusted:
            self.client.frames.clear()
            return
        chosen = response.header("Sec-WebSocket-Protocol")
        self.client.mode = "json" if chosen == SUBPROTOCOL["json"] else "binary"
        for message in self.client.messages():
            self.counts[f"got {message.op}"] += 1
            if message.op == PUSH:
                self.check(message.bytes().decode())

    def check(self, text):
        kind, name, channel, number = text.split(" ")
        if kind == "to" and name != self.user:
            raise Leak(f"{self.user} got {text!r}")
        if int(number) <= self.last.get((name, channel), -1):
            raise Leak(f"{self.user} got {text!r} after number {self.last[name, channel]}")
        self.last[name, channel] = int(number)


class Fuzzer:
    def __init__(self, server, rng):
        self.server, self.rng = server, rng
        self.strangers = []  # a Reader for each connection that is not known to have ended
        self.counts = Counter()
        self.number = 0
        self.steps = [
            (40, self.connect), (40, self.send), (30, self.push), (6, self.kick), (10, self.leave),
            (4, self.tell_topics), (3, self.ask_admin), (10, self.read),
        ]

    # The world.

    def step(self):
        act = self.rng.choices([act for _, act in self.steps], [weight for weight, _ in self.steps])[0]
        self.counts[act.__name__] += 1
        act()
        while len(self.strangers) > MOST:
            self.leave()

    def read_all(self):
        for reader in list(self.strangers):
            self.take(reader)

    def take(self, reader):
        reader.read()
        if reader.client.ended:
            reader.client.close()
            self.strangers.remove(reader)

    def read(self):
        if self.strangers:
            self.take(self.rng.choice(self.strangers))

    def close(self):
        for reader in self.strangers:
            reader.client.close()
        self.strangers = []

    # What strangers do.

    def connect(self):
        rng = self.rng
        user, mode = rng.choice(STRANGERS), rng.choice(["binary", "json", "echo"])
        try:
            client = Client(self.server.address)
        except OSError:
            return
        client.mode = mode
        head = self.handshake(user, mode)
        sent = self.damage_head(head)
        self.strangers.append(Reader(client, user, self.counts, trusted=sent == head))
        self.offer(client, sent + (self.frames(user, mode) if rng.randrange(3) else b""))

    def handshake(self, user, mode):
        rng = self.rng
        extra = [("Sec-WebSocket-Protocol", SUBPROTOCOL[mode])] if mode in SUBPROTOCOL else []
        if not rng.randrange(6):
            extra.append(rng.choice([
                ("Cookie", "sid=abc"), ("Cookie", "a=b; sid=\"x"), ("Origin", "https://evil.example"), ("Origin", "null"),
                ("X-Forwarded-For", "1.2.3.4, [::1]:3, unknown"), ("Upgrade", "h2c"), ("Connection", "keep-alive"),
                ("Sec-WebSocket-Protocol", "x,,push.bin.v1"), ("Sec-WebSocket-Extensions", "permessage-deflate"),
                ("Authorization", "Bearer a.b.c"), ("X" * 300, "y" * 3000)]))
        target = "/echo" if mode == "echo" else f"/ws?user={user}"
        return upgrade_head(target, extra=extra)

    def damage_head(self, whole):
        rng = self.rng
        head = bytearray(whole)
        damage = rng.randrange(12)
        if damage == 0:
            head[rng.randrange(len(head))] = rng.randrange(256)
        elif damage == 1:
            del head[rng.randrange(len(head)):]
        elif damage == 2:
            head[:] = rng.randbytes(rng.randrange(400))
        return bytes(head)

    def send(self):
        if self.strangers:
            reader = self.rng.choice(self.strangers)
            self.offer(reader.client, self.frames(reader.user, reader.client.mode))

    def offer(self, client, data):
        """Sends `data` in pieces, as long as the server takes them."""
        at = 0
        while at < len(data):
            size = self.rng.choice([1, 7, 100, 1 << 20])
            try:
                at += client.sock.send(data[at:at + size])
            except (BlockingIOError, BrokenPipeError, ConnectionResetError, OSError):
                return

    def frames(self, user, mode):
        return b"".join(self.frame(user, mode) for _ in range(self.rng.randrange(1, 10)))

    def frame(self, user, mode):
        rng = self.rng
        opcode, payload = self.message(user, mode)
        kind = rng.randrange(24)
        if kind < 14:
            return ws.frame(opcode, payload)
        if kind < 17:
            cut = rng.randrange(len(payload) + 1)
            between = ws.frame(ws.PING, b"x" * rng.randrange(126)) * rng.randrange(2)
            return ws.frame(opcode, payload[:cut], fin=False) + between + ws.frame(ws.CONTINUATION, payload[cut:])
        if kind < 19:
            return ws.frame(rng.choice([ws.PING, ws.PONG]), b"y" * rng.randrange(126))
        if kind < 21:
            return ws.frame(ws.CLOSE, rng.choice([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03", b"\0\1", b"\x03\xe8\xff"]))
        if kind < 22:
            return ws.frame(opcode, payload, masked=False)
        damaged = bytearray(ws.frame(opcode, payload))
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        return bytes(damaged)

    def message(self, user, mode):
        rng = self.rng
        op = rng.choice([SUB, SUB, UNSUB, *OPS])
        payload = rng.choice([self.topics(user), self.topics(user), self.value(), '{"token":"a.b.c"}',
                              "x" * rng.randrange(300), ""])
        if mode != "json":
            return ws.BINARY, struct.pack(">I", op & 0xffffffff) + payload.encode("utf-8", "surrogatepass")
        text = rng.choice([
            f'{{"op":{op},"data":{payload or 1}}}', f'{{"op":{op},"text":{json.dumps(payload)}}}',
            f'{{"op":{op},"b64":"{rng.choice(["AAEC", "AA==", "A", "////"])}"}}', f'{{"op":{op}}}', payload])
        return rng.choice([ws.TEXT] * 9 + [ws.BINARY]), text.encode("utf-8", "surrogatepass")

    def topics(self, user):
        rng = self.rng
        other = rng.choice(STRANGERS + HONEST)
        names = topics_of(user) + topics_of(other) + [f"room:{room}" for room in ROOMS] + ["", "nobody's", "room:" + "z" * 200]
        return json.dumps({"topics": rng.sample(names, rng.randrange(5))})

    def value(self, depth=0):
        rng = self.rng
        plain = ["1", "-0.5e9", '"a\\u0041\\ud83d\\ude00"', "null", "true", "[]", "{}", '"\\n\xe9"', "1" * 30, "\"\\ud800\"", "nul"]
        if depth > 4 or rng.randrange(3):
            return rng.choice(plain)
        return "[" + ",".join(self.value(depth + 1) for _ in range(rng.randrange(4))) + "]"

    def leave(self):
        if not self.strangers:
            return
        reader = self.rng.choice(self.strangers)
        how = self.rng.randrange(4)
        self.take(reader)
        if reader.client.ended:
            return
        if how == 0:
            try:
                reader.client.half_close()
            except OSError:
                pass
            return
        (reader.client.reset if how == 1 else reader.client.close)()
        self.strangers.remove(reader)

    # What backends do.

    def text(self, kind, name, channel):
        self.number += 1
        return f"{kind} {name} {channel} {self.number}"

    def push(self):
        rng = self.rng
        if rng.randrange(3) == 0:
            self.server.publish(*rng.choice([
                ("all", b"{"), ("users", {"op": 1}), ("users", {"op": 3, "users": ["s1", "s2"], "text": "\x01"}), ("ctl", b"["),
                ("user:s1", b"\0\0\0"), ("topic:room:a", {"op": 2**32}), ("user:s2", {"op": 3, "b64": "AAEC", "ttl": 1, "key": "k"}),
                ("all", {"op": 3, "text": "z" * 3000})]))
            return
        user, room, topic = rng.choice(STRANGERS + HONEST), rng.choice(ROOMS), rng.choice(OWN_TOPICS)
        channel, *text = rng.choice([
            ("user:" + user, "to", user, "user"), ("user:" + user, "to", user, "user"),
            (f"topic:user:{user}:{topic}", "to", user, topic), ("topic:room:" + room, "room", room, "topic")])
        text = self.text(*text)
        self.server.publish(channel, rng.choice([{"op": PUSH, "text": text}, struct.pack(">I", PUSH) + text.encode()]))

    def kick(self):
        user = self.rng.choice(STRANGERS)
        self.server.publish("ctl", self.rng.choice([
            {"kick": user}, {"kick": user, "code": 4002, "reason": "fuzz"}, {"kick": user, "code": 1}, {"kick": 7}]))

    def tell_topics(self):
        user = self.rng.choice(STRANGERS)
        self.server.publish("ctl", {self.rng.choice(["sub", "unsub"]): user,
                                    "topics": [*topics_of(user), "room:" + self.rng.choice(ROOMS)]})

    def ask_admin(self):
        rng = self.rng
        method, path, body = rng.choice([
            ("GET", "/metrics", b""), ("GET", "/api/stats", b""), ("GET", "/api/users/s1", b""), ("GET", "/api/users/%ff", b""),
            ("POST", "/api/push", b"{"), ("POST", "/api/push", b'{"user":"s3","op":3,"data":[]}'), ("POST", "/api/kick", b'{"user":"s4"}'),
            ("POST", "/api/push", b'{"topic":"room:a","op":3,"data":null}'), ("DELETE", "/", b""), ("GET", "/readyz", b"")])
        request(self.server.admin.address, path, method=method, body=body)


class Honest:
    """Users who stay connected and must get every push in order, despite the strangers."""

    def __init__(self, server, counts):
        self.server = server
        self.readers = []
        for n, user in enumerate(HONEST):
            client = server.client(user, ("binary", "json")[n % 2])
            topics = {"topics": topics_of(user)}
            if client.mode == "json":
                client.send_json(SUB, data=topics)
            else:
                client.send_message(SUB, json.dumps(topics).encode())
            client.recv_message()
            self.readers.append(Reader(client, user, counts))

    def read(self):
        for reader in self.readers:
            reader.read()
            assert reader.client.ended is None and not reader.client.frames, \
                f"{reader.user} was closed: {reader.client.ended} {list(reader.client.frames)[:1]}"
