"""wspush-bench, called, and what it says."""

import json
import subprocess
import tempfile

from harness.wait import WSPUSHD

BENCH = WSPUSHD.with_name("wspush-bench")
LOST = 3        # its exit status where a server has lost something: a result, not a failure


def run(server, modes, *flags, table=False, **options):
    """Runs the modes on a server; returns their results. table: its own is shown meanwhile."""
    options = {**server.options, **options, "mode": ",".join(modes)}
    pairs = [text for name, value in options.items()
             for text in ("--" + name.replace("_", "-"), str(value))]
    with tempfile.NamedTemporaryFile(prefix="wspush-bench.", suffix=".json") as file:
        done = subprocess.run(
            [BENCH, *pairs, *flags, "--json", file.name, *(() if table else ("--quiet",)),
             server.url], stdout=None if table else subprocess.DEVNULL,
            stderr=None if table else subprocess.PIPE, text=True, check=False)
        if done.returncode not in (0, LOST):
            raise RuntimeError(f"{server.kind.name}: {(done.stderr or '').strip()}")
        return json.load(file)
