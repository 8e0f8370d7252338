"""WebSocket frames (RFC 6455 §5.2): builds any frame, valid or not; reads a server's frames strictly."""

import os
import struct
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KNOWN = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}


class ServerFault(AssertionError):
    """The server sent something that the RFC forbids to servers."""


class Frame(NamedTuple):
    fin: bool
    opcode: int
    payload: bytes


def mask(payload, key):
    if not payload:
        return b""
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def frame(opcode, payload=b"", *, fin=True, rsv=0, masked=True, key=None, length_bits=None,
          length=None):
    """Builds a client's frame, invalid if the arguments say so.

    length_bits: 7, 16 or 64, to write the length in a longer form than needed
    length:      the length to announce, if not the payload's
    """
    size = len(payload) if length is None else length
    bits = length_bits or (7 if size < 126 else 16 if size < 65536 else 64)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    flag = 0x80 if masked else 0
    if bits == 7:
        head += bytes([flag | size])
    elif bits == 16:
        head += bytes([flag | 126]) + struct.pack(">H", size)
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + payload
    key = os.urandom(4) if key is None else key
    return head + key + mask(payload, key)


def close_payload(code, reason=b""):
    return struct.pack(">H", code) + reason


class FrameReader:
    """Splits a server's bytes into frames; raises ServerFault at the first invalid one."""

    def __init__(self):
        self._buffer = bytearray()
        self._in_message = False

    @property
    def pending(self):
        """Returns the number of bytes of an incomplete frame."""
        return len(self._buffer)

    def feed(self, data):
        buffer = self._buffer
        buffer += data
        frames, at = [], 0
        while len(buffer) - at >= 2:
            first, second = buffer[at], buffer[at + 1]
            start, size = at + 2, second & 0x7F
            self._check_head(first, second)
            if size == 126:
                if len(buffer) - at < 4:
                    break
                size, start = struct.unpack_from(">H", buffer, at + 2)[0], at + 4
                if size < 126:
                    raise ServerFault(f"length {size} in 16 bits")
            elif size == 127:
                if len(buffer) - at < 10:
                    break
                size, start = struct.unpack_from(">Q", buffer, at + 2)[0], at + 10
                if size < 65536:
                    raise ServerFault(f"length {size} in 64 bits")
            if len(buffer) - start < size:
                break
            payload = bytes(buffer[start:start + size])
            frames.append(Frame(bool(first & 0x80), first & 0x0F, payload))
            self._check_sequence(frames[-1])
            at = start + size
        del buffer[:at]
        return frames

    @staticmethod
    def _check_head(first, second):
        if first & 0x70:
            raise ServerFault(f"reserved bits set: {first:#04x}")
        if first & 0x0F not in _KNOWN:
            raise ServerFault(f"reserved opcode {first & 0x0F:#x}")
        if second & 0x80:
            raise ServerFault("a server must not mask")
        if first & 0x08 and (not first & 0x80 or second > 125):
            raise ServerFault(f"bad control frame: {first:#04x} {second:#04x}")

    def _check_sequence(self, got):
        if got.opcode & 0x08:
            if got.opcode == CLOSE and len(got.payload) == 1:
                raise ServerFault("a close frame with half a code")
            return
        if (got.opcode == CONTINUATION) != self._in_message:
            raise ServerFault(f"opcode {got.opcode} out of place")
        self._in_message = not got.fin
