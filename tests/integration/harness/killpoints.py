"""The kill points of common/killpoint.h: arm one, and the n-th worker that passes it dies there."""

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
    """The file that the workers share; see tests/chaos/killpoint.c."""

    def __init__(self, path):
        self.path = path
        self.index = {name: number for number, name in enumerate(names())}
        path.write_bytes(bytes(_ENTRY.size * len(self.index)))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def _at(self, name):
        return self.index[name] * _ENTRY.size

    def passes(self, name):
        """How often it was passed so far."""
        return _ENTRY.unpack_from(self._map, self._at(name))[0]

    def arm(self, name, nth=1):
        """The nth pass from now on is a worker's last; 0 disarms it."""
        self._map[self._at(name) + 4:self._at(name) + 8] = struct.pack("=I", nth)

    def arm_stop(self, name):
        """The first worker that passes it from now on stops there; SIGCONT lets it go on."""
        self.arm(name, STOP)

    def armed(self, name):
        return _ENTRY.unpack_from(self._map, self._at(name))[1]
