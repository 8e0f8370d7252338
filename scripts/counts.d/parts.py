"""The parts that scripts/counts and scripts/perfcheck can count, and their requirements."""

import resource
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "integration"))

import allocations          # noqa: E402
import memory               # noqa: E402
import redis_deliveries     # noqa: E402
import slow                 # noqa: E402
import spread               # noqa: E402
import system_calls         # noqa: E402
from harness.wait import SANITIZED, WSPUSHD     # noqa: E402
from stage import Stage                         # noqa: E402

PARTS = {"allocations": allocations, "calls": system_calls, "memory": memory, "spread": spread,
         "redis": redis_deliveries, "slow": slow}
DESCRIPTORS = 12000     # 10,000 clients and the other open files of a process


def _raise_descriptor_limit():
    """Raises the limit for this process and for the server, which inherits it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        sys.exit(f"{sys.argv[0]}: needs {DESCRIPTORS} descriptors (ulimit -Hn is {hard})")
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def count(names, table):
    """Counts these parts, or all if none is named."""
    if unknown := set(names) - set(PARTS):
        sys.exit(f"{sys.argv[0]}: no such part: {' '.join(unknown)}; there are {' '.join(PARTS)}")
    if not WSPUSHD.exists():
        sys.exit(f"{sys.argv[0]}: {WSPUSHD} is missing: run make first")
    if SANITIZED:
        sys.exit(f"{sys.argv[0]}: a sanitizer allocates and calls for itself; take a plain build")
    _raise_descriptor_limit()
    with Stage() as stage:
        for name in names or PARTS:
            table.begin(PARTS[name].TITLE)
            PARTS[name].count(stage, table)
