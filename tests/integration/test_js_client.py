"""clients/js/wspush.js in Node.js: each test of client.mjs, and one against the real server. In a
browser it is tested by the console, test_console.py."""

import subprocess

import pytest

from harness.process import die_with_us
from harness.server import opcode
from harness.wait import ROOT, TIMEOUT, wait_for

NODE = ["node", str(ROOT / "tests/integration/client.mjs")]


def node(*arguments):
    return subprocess.run([*NODE, *arguments], capture_output=True, text=True, timeout=TIMEOUT)


def names():
    try:
        return node("list").stdout.split()
    except OSError:
        return ["node is missing"]


@pytest.mark.parametrize("name", names() or ["client.mjs does not load"])
def test_by_itself(name):
    done = node(name)
    assert done.returncode == 0, done.stderr


def test_with_the_server(make_server):
    server = make_server(opcodes=[opcode(100, name="echo", to="echo")])
    host, port = server.address
    process = subprocess.Popen([*NODE, "live", f"ws://{host}:{port}/ws?user=42"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               preexec_fn=die_with_us)
    try:
        assert process.stdout.readline() == "ready\n"
        assert server.push("42", 110, data={"from": "7", "text": "我们都好"}) == 1
        assert process.stdout.readline() == "pushed\n"
        assert process.stdout.readline() == "restart\n"
        server.stop()
        server.start()
        assert process.stdout.readline() == "again\n"
        wait_for(lambda: server.publish("ctl", {"kick": "42"}), "the kick")
        assert process.stdout.read() == "kicked\n"
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait()
