"""Functions of the C files: their names and lengths.

clang-format puts the brace that opens a function, and the one that closes it, alone at the beginning
of a line, and nothing else. So a definition is found without parsing C.
"""

import re
import statistics
from collections import Counter, namedtuple

from sources import SERVER, below, product, text

Function = namedtuple("Function", "name path lines static")

HEAD_ENDS = re.compile(r"[;}]$|\*/$|^#|^$")
NAME = re.compile(r"\b(?!__)(\w+)\(")


def head_start(lines, brace):
    """The first line of the head whose brace is at `brace`."""
    first = brace
    while first > 0 and not HEAD_ENDS.search(lines[first - 1]):
        first -= 1
    return first


def defined_in(path):
    """The functions that a file defines, in order."""
    lines = text(path).split("\n")
    for brace, line in enumerate(lines):
        if line != "{":
            continue
        first = head_start(lines, brace)
        head = " ".join(lines[first:brace])
        named = NAME.search(head)
        if named:
            end = lines.index("}", brace)
            yield Function(named[1], path, end - first + 1, head.startswith("static "))


def twice_in_a_folder(functions):
    """How many names of static functions two files of one folder have."""
    places = {(function.path.parent, function.name, function.path) for function in functions}
    files = Counter((folder, name) for folder, name, _ in places)
    return sum(1 for count in files.values() if count > 1)


def measure_names():
    """{what: figure} of the names of static functions."""
    private = [function for path in product(".c") for function in defined_in(path) if function.static]
    server = [function for folder in SERVER for path in below(folder, ".c")
              for function in defined_in(path) if function.static]
    single = sum("_" not in function.name for function in private)
    return {
        "median": statistics.median(len(function.name) for function in private),
        "single": 100 * single / len(private),
        "twice": twice_in_a_folder(server),
    }


def measure_lengths():
    """{what: lines} of all functions, from the first line of the head to the closing brace."""
    lengths = sorted(function.lines for path in product(".c") for function in defined_in(path))
    return {
        "median": statistics.median(lengths),
        "95 %": lengths[len(lengths) * 95 // 100],
        "longest": lengths[-1],
    }
