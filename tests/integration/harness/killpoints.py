"""The kill points of common/killpoint.h: once a point is armed, a worker dies at its nth pass."""

import mmap
import re
import struct

from .wait import ROOT, WSPUSHD

BINARY = WSPUSHD.parent / "killpoints" / "wspushd"
_ENTRY = struct.Struct("=II")
STOP = 0x7fffffff
"""tests/chaos/killpoint.c"""


def names():
    text = (ROOT / "common" / "killpoint.h").read_text()
    return re.findall(r"^    X\((\w+), \"", text, re.M)


class Killpoints:
    """The file of kill points that the workers share; see tests/chaos/killpoint.c."""

    def __init__(self, path):
        self.path = path
        self.index = {name: number for number, name in enumerate(names())}
        path.write_bytes(bytes(_ENTRY.size * len(self.index)))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def _at(self, name):
        return self.index[name] * _ENTRY.size

    def passes(self, name):
        """Returns how often the point was passed so far."""
        return _ENTRY.unpack_from(self._map, self._at(name))[0]

    def arm(self, name, nth=1):
        """Kills the worker that makes the nth pass from now on; 0 disarms the point."""
        self._map[self._at(name) + 4:self._at(name) + 8] = struct.pack("=I", nth)

    def arm_stop(self, name):
        """Stops the next worker that passes the point; SIGCONT lets it continue."""
        self.arm(name, STOP)

    def armed(self, name):
        return _ENTRY.unpack_from(self._map, self._at(name))[1]
