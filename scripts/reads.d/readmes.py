"""Checks the tables of files in the READMEs against the tree.

Each file and folder next to a README has a row: a module (a .c file and its .h) by its name without
ending, anything else by its full name, a folder with a slash behind it. Each name in the first
column must exist; it may be a pattern (`../shm/*.pml`) and be followed by arguments.
"""

import re

from sources import ROOT, SERVER, below, name, text

FOLDERS = (*SERVER, "tools", "tests", "scripts", "console", "dashboard", "clients", "examples")
TABLE = re.compile(r"^\| *(?:file|script|folder)\b.*\n\|[-| ]+\n((?:\|.*\n)+)", re.M)


def readmes():
    """The READMEs with a table of files."""
    return [path for folder in FOLDERS if (ROOT / folder).is_dir()
            for path in below(folder, "README.md")]


def rows(readme):
    """The names in the first columns of its tables of files."""
    found = []
    for table in TABLE.findall(text(readme)):
        for line in table.splitlines():
            first = re.split(r"(?<!\\)\|", line)[1]
            found += [row.split()[0] for row in re.findall(r"`([^`]+)`", first)]
    return found


def modules(folder):
    """{name in a row: the paths that it means} for the files next to a README."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name[0] == "." or path.name in ("README.md", "build", "node_modules", "__pycache__"):
            continue
        if path.is_dir():
            found.setdefault(path.name + "/", set()).add(path)
        elif path.suffix in (".c", ".h"):
            found.setdefault(path.stem, set()).add(path)
        else:
            found.setdefault(path.name, set()).add(path)
    return found


def stands_for(folder, row):
    """The paths that a row names: empty if none exists."""
    if any(sign in row for sign in "*?["):
        return set(folder.glob(row)) if not row.startswith("../") else set(ROOT.glob(row[3:]))
    exact = folder / row
    if exact.exists():
        return {exact.resolve()}
    return {path for path in (folder / f"{row}.c", folder / f"{row}.h") if path.exists()}


def named(folder, readme):
    """The paths that the rows of a README name, and the rows that name none."""
    paths, empty = set(), []
    for row in rows(readme):
        found = stands_for(folder, row)
        paths |= found
        if not found:
            empty.append(row)
    return paths, empty


def differences(readme):
    """(modules without a row, rows without a file) of one README."""
    folder = readme.parent
    paths, empty = named(folder, readme)
    missing = [module for module, parts in modules(folder).items() if not parts & paths]
    return missing, empty


def without_row():
    """(number of modules in all folders without a row; their names)."""
    missing = [f"{name(readme)}: {module}" for readme in readmes() for module in differences(readme)[0]]
    return len(missing), missing
