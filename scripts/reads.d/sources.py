"""The files of the tree, each read once."""

import functools
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVER = ("common", "config", "proto", "shm", "worker", "master")
LEFT_OUT = ("build", "node_modules", "__pycache__")


@functools.lru_cache(maxsize=None)
def text(path):
    return path.read_text(encoding="utf-8", errors="replace")


def below(folder, *suffixes):
    """The files below a folder with these suffixes, in order; without suffixes, all files."""
    found = []
    for parent, folders, names in os.walk(ROOT / folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and name[0] != ".")
        found += [Path(parent, name) for name in sorted(names)
                  if not suffixes or name.endswith(suffixes)]
    return found


def product(*suffixes):
    """The files of the server and of the tools."""
    return [path for folder in (*SERVER, "tools") for path in below(folder, *suffixes)]


def name(path):
    return str(path.relative_to(ROOT))
