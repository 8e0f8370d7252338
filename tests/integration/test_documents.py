"""The snippets of docs/backends.md: those for the shell and for Python are run, against a server.
So are examples of docs/operations.md."""

import json
import os
import re
import subprocess
import sys

import pytest

from harness.client import SUB, SUBBED
from harness.server import opcode
from harness.wait import ROOT, TIMEOUT

TEXT = (ROOT / "docs/backends.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()


def snippets(language):
    found = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)
    assert found, f"docs/backends.md has no {language} snippet"
    return found


@pytest.fixture
def node(make_server, own_redis):
    """A server and a Redis, as the page takes for granted; Redis's port goes by the environment."""
    return make_server(prefix="push:", redis_server=own_redis().start(), heartbeat=60,
                       topics=["*"], opcodes=[
                           opcode(110, name="add-friend", to="stream:push:requests", payload="json")])


def run(command, node, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=TIMEOUT,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(snippet, node):
    host, port = node.admin.address
    snippet = snippet.replace("redis-cli", f"redis-cli -p {node.redis.port}")
    return run(["sh", "-eu", "-c", snippet.replace("127.0.0.1:8081", f"{host}:{port}")], node)


def python(snippet, node):
    return run([sys.executable, "-"], node,
               snippet.replace("redis.Redis()", f"redis.Redis(port={node.redis.port})"))


def test_shell(node):
    client = node.client("42")
    push, post, kick = snippets("sh")
    assert shell(push, node) == "1\n"
    assert client.recv_message().json() == {"from": "7", "text": "我们都好"}
    client.send_message(SUB, b'{"topics":["room:7"]}')
    assert client.recv_message().op == SUBBED
    to_user, to_topic = shell(post.replace("curl -s", "curl -s -w '\\n'"), node).splitlines()
    assert json.loads(to_user).items() >= {"user": "42", "delivered": 1}.items()
    assert json.loads(to_topic).items() >= {"topic": "room:7", "delivered": 1}.items()
    for _ in range(2):
        assert client.recv_message().json() == {"from": "7"}
    assert int(shell(kick, node)) == 1
    assert client.expect_close(4001)[1] == "logged out"


def test_the_answer_to_a_push_is_as_operations_says(node):
    client = node.client("42")
    command, answer = re.search(r"^\$ (curl .*/api/push .*)\n(.*)$", OPERATIONS, re.M).groups()
    assert shell(command, node) == answer
    assert client.recv_message().json() == {"from": "7"}


def test_python_pushes(node):
    client = node.client("42")
    push, each, offline, _ = snippets("python")
    assert python(push, node) == ""
    assert client.recv_message().json() == {"from": "7", "text": "我们都好"}
    assert python(each + "\nprint(push_each(['42', '7'], 120, 2))", node) == "['7']\n"
    assert [client.recv_message().json() for _ in range(2)] == [{"news": 1}, 2]
    assert python(offline, node) == ""
    assert client.recv_message().json()["text"] == "are you there?"
    assert python(offline.replace('"42"', '"8"'), node) == "notification to 8: are you there?\n"
    assert node.redis.client.xlen("inbox:42") == node.redis.client.xlen("inbox:8") == 1


def test_python_consumes(node):
    asking, other = node.client("42"), node.client("42")
    asking.send_message(110, b'{"to":"7"}')
    assert asking.recv_message().op == 8
    python(snippets("python")[3], node)
    assert asking.recv_message().json() == {"got": {"to": "7"}}
    other.expect_silence()
    assert node.redis.client.xpending("push:requests", "app")["pending"] == 0


def test_javascript_can_be_read(tmp_path):
    for snippet in snippets("js"):
        file = tmp_path / "snippet.mjs"
        file.write_text(snippet)
        done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True,
                              timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr


def test_the_links_lead_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
