"""Functions of the C files: their names and lengths.

clang-format puts only the opening and closing braces of a function alone at the beginning of a line.
So a definition is found without parsing C.
"""

import re
import statistics
from collections import defaultdict, namedtuple

from sources import SERVER, below, name, product, text

Function = namedtuple("Function", "name path lines static")

HEAD_ENDS = re.compile(r"[;}]$|\*/$|^#|^$")
NAME = re.compile(r"\b(?!__)(\w+)\(")


def head_start(lines, brace):
    """The first line of the function head with its brace at `brace`."""
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


def twice_in_a_folder():
    """The names of static functions that occur in two files of one folder, with the files."""
    files = defaultdict(set)
    for folder in SERVER:
        for path in below(folder, ".c"):
            for function in defined_in(path):
                if function.static:
                    files[path.parent, function.name].add(name(path))
    return [f"{function}: {' '.join(sorted(paths))}"
            for (_, function), paths in files.items() if len(paths) > 1]


def shown(functions):
    return [f"{name(function.path)}: {function.name}, {function.lines} lines" for function in functions]


def measure_names():
    """[(figure, where)] of the names of static functions: median length, % of one word, twice."""
    private = [function for path in product(".c") for function in defined_in(path) if function.static]
    single = [function for function in private if "_" not in function.name]
    twice = twice_in_a_folder()
    return [(statistics.median(len(function.name) for function in private), []),
            (100 * len(single) / len(private), shown(single)),
            (len(twice), twice)]


def measure_lengths():
    """[(lines, where)] of all functions: median, 95 %, longest. From the head to the closing brace."""
    functions = sorted((function for path in product(".c") for function in defined_in(path)),
                       key=lambda function: function.lines)
    lengths = [function.lines for function in functions]
    return [(statistics.median(lengths), []),
            (lengths[len(lengths) * 95 // 100], shown(functions[len(lengths) * 95 // 100:])),
            (lengths[-1], shown(functions[-5:]))]
