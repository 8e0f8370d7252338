"""Runs wspush-bench and reads its results."""

import json
import subprocess
import sys
import tempfile

from harness.process import die_with_us
from harness.wait import WSPUSHD

BENCH = WSPUSHD.with_name("wspush-bench")
LOST = 3        # its exit status if a server lost a push: a result, not a failure


def say(text):
    print(text, file=sys.stderr, flush=True)


def _command(server, modes, options):
    options = {**server.options, **options, "mode": ",".join(modes)}
    pairs = [text for name, value in options.items()
             for text in ("--" + name.replace("_", "-"), str(value))]
    return [BENCH, *pairs, *server.url.split()]


def start(server, modes, **options):
    """Starts the modes and returns the process, which prints their results as JSON."""
    return subprocess.Popen(
        [*_command(server, modes, options), "--json", "-", "--quiet"], stdout=subprocess.PIPE,
        text=True, preexec_fn=die_with_us)


def run(server, modes, *flags, table=False, **options):
    """Runs the modes on a server; returns their results. table: its own is shown meanwhile."""
    with tempfile.NamedTemporaryFile(prefix="wspush-bench.", suffix=".json") as file:
        done = subprocess.run(
            [*_command(server, modes, options), *flags, "--json", file.name,
             *(() if table else ("--quiet",))], stdout=None if table else subprocess.DEVNULL,
            stderr=None if table else subprocess.PIPE, text=True, check=False)
        if done.returncode not in (0, LOST):
            raise RuntimeError(f"{server.kind.name}: {(done.stderr or '').strip()}")
        return json.load(file)
