"""Checks HACKING.md against the tree: each file that it names in backquotes exists, and each name of
the code occurs there."""

import re

from sources import ROOT, below, text

GUIDE = ROOT / "HACKING.md"
CODE_FOLDERS = ("common", "config", "proto", "shm", "worker", "master", "tools", "tests", "clients")
PATH = re.compile(r"(?!build/)[\w.-]+/[\w./*-]*")
NAME = re.compile(r"(?:struct )?(\w*[a-z]_\w+|[A-Z_]{4,}|\w+(?=\[\]|\())")


def quoted():
    """The texts in backquotes, outside the blocks of commands."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text(GUIDE), flags=re.S | re.M))


def paths_and_names():
    paths, names = set(), set()
    for code in quoted():
        found = NAME.match(code)
        if PATH.fullmatch(code):
            paths.add(code)
        elif found and not code.startswith(("make ", "_")):
            names.add(found[1])
    return paths, names


def stale():
    """The paths and names in HACKING.md that the tree does not have."""
    paths, names = paths_and_names()
    code = "\n".join(text(path) for folder in CODE_FOLDERS
                     for path in below(folder, ".c", ".h", ".py", ".js")) + text(ROOT / "Makefile")
    known = set(re.findall(r"\w+", code))
    return sorted({path for path in paths if not list(ROOT.glob(path))} | (names - known))
