"""Books of pushes: what was published while whom, what came, and whether the two agree.

A Ledger numbers every push on every channel. A Reader is one client's account: from the moment it
follows a channel, every number must come, in order. A number may come again only where a worker died
in between, and may be missing only where the client was told of a GAP that covers the time.
"""

import struct
import time

from .client import GAP, HELLO

OP = 200
_HEAD = struct.Struct(">IIQ")   # opcode, channel, number
_BODY = struct.Struct(">IQ")

SLACK_S = 2.0
"""How far a GAP's milliseconds may be off the times that a busy client saw."""


class Channel:
    def __init__(self, number, name):
        self.number, self.name, self.next = number, name, 0


class Ledger:
    """Numbers what is published; `server` is the one under test."""

    def __init__(self, server):
        self.server = server
        self.channels = {}
        self._by_number = []

    def channel(self, name):
        if name not in self.channels:
            self.channels[name] = Channel(len(self._by_number), name)
            self._by_number.append(self.channels[name])
        return self.channels[name]

    def name_of(self, number):
        return self._by_number[number].name

    def pairs(self, names, padding=b""):
        """(channel, message) for the next push on each of the channels."""
        out = []
        for name in names:
            channel = self.channel(name)
            out.append((self.server.channel(name),
                        _HEAD.pack(OP, channel.number, channel.next) + padding))
            channel.next += 1
        return out

    def publish(self, names, padding=b""):
        """Publishes the next push on each of the channels; returns Redis's replies."""
        return self.server.redis.publish_many(self.pairs(names, padding))


class Hole:
    """Numbers of a channel that did not come, and between when and when they should have."""

    def __init__(self, channel, first, end, since, until):
        self.channel, self.first, self.end, self.since, self.until = channel, first, end, since, until

    def __repr__(self):
        return f"{self.channel} {self.first}..{self.end - 1}"


class Reader:
    """The account of one client that has got HELLO."""

    def __init__(self, ledger, client, user):
        self.ledger, self.client, self.user = ledger, client, user
        self.wanted = {}          # channel number -> next number that must come
        self.first = {}           # channel number -> first one that must; those before may come
        self.heard = {}           # channel number -> when something last came, or was followed
        self.holes, self.gaps = [], []
        self.received = self.doubled = 0
        self.hellos = 1
        self.others = []          # messages that are no pushes of the books
        self.follow("user:" + user)
        self.follow("all")

    def follow(self, name):
        channel = self.ledger.channel(name)
        self.wanted[channel.number] = self.first[channel.number] = channel.next
        self.heard[channel.number] = time.monotonic()

    def unfollow(self, name):
        self.wanted.pop(self.ledger.channel(name).number, None)

    def follows(self, name):
        return self.ledger.channel(name).number in self.wanted

    @property
    def closed(self):
        """Whether the server has ended the connection, or said that it will."""
        client = self.client
        return client.ended is not None or bool(client.frames and client.frames[0].opcode == 0x8)

    def take(self):
        """Books what has been pulled."""
        for message in self.client.messages():
            if message.op == OP:
                self._push(message.payload)
            elif message.op == GAP:
                self.gaps.append((time.monotonic(), message.json()["ms"] / 1000))
                self._excuse()
            elif message.op == HELLO:
                self.hellos += 1
            else:
                self.others.append(message)

    def _push(self, payload):
        number, count = _BODY.unpack_from(payload)
        expected = self.wanted.get(number)
        if expected is None:
            return
        self.received += 1
        now = time.monotonic()
        if count == expected:
            self.wanted[number] = count + 1
        elif count < expected:
            self.doubled += count >= self.first[number]
        else:
            self.holes.append(Hole(self.ledger.name_of(number), expected, count,
                                   self.heard[number], now))
            self.wanted[number] = count + 1
            self._excuse()
        self.heard[number] = now

    def _excuse(self):
        """Takes off the holes that a GAP speaks of."""
        self.holes = [hole for hole in self.holes if not any(
            came - lasted - SLACK_S <= hole.until and came + SLACK_S >= hole.since
            for came, lasted in self.gaps)]

    def missing(self):
        """What has not come of all that was published, by channel."""
        out = {}
        for number, expected in self.wanted.items():
            channel = self.ledger._by_number[number]
            if expected < channel.next:
                out[channel.name] = (expected, channel.next)
        return out

    def complete(self):
        by_number = self.ledger._by_number
        return all(expected == by_number[number].next for number, expected in self.wanted.items())
