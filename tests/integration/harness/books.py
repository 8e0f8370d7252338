"""Bookkeeping of pushes: compares what was published with what each client received.

A Ledger numbers every push on every channel. A Reader is one client's account: from the moment it
follows a channel, every number must arrive, in order. A number may be repeated only if a worker died
in between, and may be missing only if the client got a GAP that covers the time.
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
    """Numbers the pushes that it publishes through the Redis of `server`, the server under test."""

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
        """Returns a (channel, message) pair for the next push on each of the channels."""
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
    """A range of a channel's numbers that did not arrive, and the interval in which they were due."""

    def __init__(self, channel, first, end, since, until):
        self.channel, self.first, self.end, self.since, self.until = channel, first, end, since, until

    def __repr__(self):
        return f"{self.channel} {self.first}..{self.end - 1}"


class Reader:
    """The account of one client that has received HELLO."""

    def __init__(self, ledger, client, user):
        self.ledger, self.client, self.user = ledger, client, user
        self.wanted = {}          # channel number -> next number that is due
        self.first = {}           # channel number -> first number that is due; earlier ones may arrive
        self.heard = {}           # channel number -> time of the last push, or of following the channel
        self.holes, self.gaps = [], []
        self.received = self.doubled = 0
        self.hellos = 1
        self.others = []          # messages other than the ledger's pushes
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
        """True if the server has ended the connection or announced that it will."""
        client = self.client
        return client.ended is not None or bool(client.frames and client.frames[0].opcode == 0x8)

    def take(self):
        """Enters the messages that the client has pulled."""
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
        """Removes the holes that a GAP covers."""
        self.holes = [hole for hole in self.holes if not any(
            came - lasted - SLACK_S <= hole.until and came + SLACK_S >= hole.since
            for came, lasted in self.gaps)]

    def missing(self):
        """Returns {channel name: (first, end)} for the published numbers that have not arrived."""
        out = {}
        for number, expected in self.wanted.items():
            channel = self.ledger._by_number[number]
            if expected < channel.next:
                out[channel.name] = (expected, channel.next)
        return out

    def complete(self):
        by_number = self.ledger._by_number
        return all(expected == by_number[number].next for number, expected in self.wanted.items())
