"""Describes the machine and the software that a measurement ran on."""

import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _said(*command):
    """The first line of a program's version output; None if the program is missing."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout else None


def _package(name):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True,
                          text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _find(path, pattern):
    found = re.search(pattern, Path(path).read_text(), re.M)
    return found[1].strip() if found else "unknown"


def _npm(peer, *names):
    """{package: version}, as a peer's package.json has them."""
    file = ROOT / "bench/peers" / peer / "package.json"
    wanted = json.loads(file.read_text())["dependencies"] if file.exists() else {}
    return {name: wanted.get(name) for name in names}


def describe():
    """{what: text}, in the order of the page."""
    memory = int(_find("/proc/meminfo", r"^MemTotal: +(\d+)")) / 2 ** 20
    rows = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{_find('/proc/cpuinfo', r'^model name.*: (.*)')}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{_find('/etc/os-release', r'^PRETTY_NAME=.(.*?).$')}, "
                  f"Linux {platform.release()}",
        "wspushd": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--tags"),
        "compiler": _said("gcc", "--version"),
        "Redis": _said("redis-server", "--version"),
        "nginx": _package("nginx"),
        "nchan": _package("libnginx-mod-nchan"),
        "Go": _package("golang-go"),
        "gorilla/websocket": _package("golang-github-gorilla-websocket-dev"),
        "Node.js": _said("node", "--version"),
        **_npm("ws", "ws", "redis"),
        **_npm("socketio", "socket.io", "@socket.io/redis-adapter"),
    }
    return {name: text for name, text in rows.items() if text}
