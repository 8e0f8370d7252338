"""Programs that only tests want, made by the Makefile beside the server under test; and what takes the
place of a server's own."""

import os
import shutil
import subprocess

from .wait import ROOT, SANITIZED, WSPUSHD


def built(name):
    """The path of a program of the same build, up to date."""
    path = WSPUSHD.with_name(name)
    build = os.path.relpath(WSPUSHD.parent, ROOT)
    target = os.path.join(build, name)
    done = subprocess.run(["make", "-s", f"BUILD={build}", *(["SANITIZE=1"] * SANITIZED), target],
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
    return path


def install(server, source=WSPUSHD):
    """Puts another file in the place of the binary, as a package manager does."""
    fresh = server.binary.with_suffix(".new")
    if isinstance(source, str):
        fresh.write_text(source)
    else:
        shutil.copy(source, fresh)
    fresh.chmod(0o755)
    os.rename(fresh, server.binary)
