"""Programs that only the tests need, built by the Makefile next to the server under test; and replacing
a server's binary."""

import os
import shutil
import subprocess

from .wait import ROOT, SANITIZED, WSPUSHD


def built(name):
    """Brings a program of the same build up to date and returns its path."""
    path = WSPUSHD.with_name(name)
    build = os.path.relpath(WSPUSHD.parent, ROOT)
    target = os.path.join(build, name)
    done = subprocess.run(["make", "-s", f"BUILD={build}", *(["SANITIZE=1"] * SANITIZED), target],
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
    return path


def install(server, source=WSPUSHD):
    """Replaces the server's binary by another file, as a package manager does."""
    fresh = server.binary.with_suffix(".new")
    if isinstance(source, str):
        fresh.write_text(source)
    else:
        shutil.copy(source, fresh)
    fresh.chmod(0o755)
    os.rename(fresh, server.binary)
