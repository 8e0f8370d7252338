"""Includes within a folder: the largest set of modules that all include each other, directly or
indirectly.

A module is a .c file with its .h. The file that is called after its folder (worker/worker.c) may
include everything, because it starts everything: its includes are not counted.
"""

import re

from sources import ROOT, below, name, text

INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)


def graph(folder):
    """{module: the modules of the folder that it includes}."""
    edges = {}
    for path in below(folder, ".c", ".h"):
        module = path.with_suffix("")
        included = {(ROOT / name).with_suffix("") for name in INCLUDE.findall(text(path))}
        if path != ROOT / folder / f"{folder}.c":
            edges.setdefault(module, set()).update(included)
    return {module: {to for to in included if to in edges and to != module}
            for module, included in edges.items()}


def reachable(edges, start):
    seen, todo = set(), [start]
    while todo:
        for to in edges[todo.pop()] - seen:
            seen.add(to)
            todo.append(to)
    return seen


def largest_cycle(folder):
    """(number of modules in the folder's largest cycle, 0 without one; their names)."""
    edges = graph(folder)
    reach = {module: reachable(edges, module) for module in edges}
    cycles = [sorted(name(to) for to in reach[module] if module in reach[to]) for module in edges]
    largest = max(cycles, key=len)
    return len(largest), largest
