"""Programs that only tests want, made by the Makefile beside the server under test."""

import os
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
