"""Tests the examples in the documents: runs the snippets against a server, loads the configurations, and
compares the answers shown with real ones."""

import json
import os
import re
import subprocess
import sys

import pytest

from harness.client import SUB, SUBBED
from harness.http import upgrade_head
from harness.login import admit, bearer, section, sid
from harness.server import opcode, run_wspushd
from harness.wait import ROOT, TIMEOUT, wait_for

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PUSH = {"from": "7", "text": "我们都好"}


def snippets(language, document="backends"):
    text = (ROOT / f"docs/{document}.md").read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    assert found, f"docs/{document}.md has no {language} snippet"
    return found


@pytest.fixture
def node(make_server, own_redis):
    """A server and a Redis, as the page takes for granted."""
    return make_server(prefix="push:", redis_server=own_redis().start(), heartbeat=60,
                       topics=["*"], opcodes=[
                           opcode(110, name="add-friend", to="stream:push:requests", payload="json")])


def swap(text, old, new):
    assert old in text, f"no {old!r} in the snippet"
    return text.replace(old, new)


def run(command, text=None, **environment):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=TIMEOUT,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


# docs/backends.md: every snippet is run.

def shell(snippet, node):
    host, port = node.admin.address
    snippet = snippet.replace("redis-cli", f"redis-cli -p {node.redis.port}")
    return run(["sh", "-eu", "-c", snippet.replace("127.0.0.1:8081", f"{host}:{port}")])


def python(snippet, node):
    return run([sys.executable, "-"],
               swap(snippet, "redis.Redis()", f"redis.Redis(port={node.redis.port})"))


def test_shell(node):
    client = node.client("42")
    push, post, kick = snippets("sh")
    assert shell(push, node) == "1\n"
    assert client.recv_message().json() == PUSH
    client.send_message(SUB, b'{"topics":["room:7"]}')
    assert client.recv_message().op == SUBBED
    to_user, to_topic = shell(post, node).splitlines()
    assert json.loads(to_user).items() >= {"user": "42", "delivered": 1}.items()
    assert json.loads(to_topic).items() >= {"topic": "room:7", "delivered": 1}.items()
    for _ in range(2):
        assert client.recv_message().json() == {"from": "7"}
    assert int(shell(kick, node)) == 1
    assert client.expect_close(4001)[1] == "logged out"


def test_python_pushes(node):
    client = node.client("42")
    push, each, offline, _ = snippets("python")
    assert python(push, node) == ""
    assert client.recv_message().json() == PUSH
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


def node_js(directory, snippet, redis):
    (directory / "node_modules").symlink_to("/usr/share/nodejs")
    file = directory / "push.mjs"
    file.write_text(swap(snippet, "createClient()", f'createClient({{ url: "{redis.url}" }})'))
    return lambda: run(["node", str(file)], NODE_PATH="/usr/share/nodejs")


def go(directory, snippet, redis):
    file, program = directory / "push.go", directory / "push"
    file.write_text(swap(snippet, "127.0.0.1:6379", f"127.0.0.1:{redis.port}"))
    # As Debian packages its libraries: by GOPATH, without modules, and without the network.
    run(["go", "build", "-o", str(program), str(file)], GO111MODULE="off", GOFLAGS="",
        GOPROXY="off", GOPATH="/usr/share/gocode", GOCACHE=str(directory / "cache"))
    assert run(["gofmt", "-l", str(file)]) == "", "not formatted by gofmt"
    return lambda: run([str(program)])


def php(directory, snippet, redis):
    file = directory / "push.php"
    file.write_text(swap(snippet, "6379", str(redis.port)))
    return lambda: run(["php", str(file)])


@pytest.mark.parametrize("language, prepare, online, offline", [
    ("js", node_js, "{ online: true }\n", "{ online: false }\n"),
    ("go", go, "online: true\n", "online: false\n"),
    ("php", php, "online\n", "offline\n"),
], ids=["Node.js", "Go", "PHP"])
def test_push_in_other_languages(node, tmp_path, language, prepare, online, offline):
    snippet, = snippets(language)
    push = prepare(tmp_path, snippet, node.redis)
    assert push() == offline
    client = node.client("42")
    assert push() == online
    message = client.recv_message()
    assert (message.op, message.json()) == (110, PUSH)
    client.expect_silence()


# The other documents.

def test_pushes_of_the_protocol(node):
    client = node.client("42")
    text = (ROOT / "docs/protocol.md").read_text()
    commands = re.findall(r"^PUBLISH push:\S+ '.*'$", text, re.M)
    for command in commands:
        assert shell("redis-cli " + command, node) == "1\n", command
    payloads = [client.recv_message() for _ in range(3)]
    assert payloads[0].json() == PUSH
    assert [message.payload for message in payloads[1:]] == [b"plain text", b"\0\1\2"]
    assert len(commands) == 4 and client.expect_close(4001)[1] == "logged out"


def test_raw_frame_of_the_protocol(node):
    client = node.client("42")
    raw, = snippets("sh", "protocol")
    assert shell(raw, node) == "1\n"
    assert client.recv_message() == (110, b"hello", "binary")


def test_refusal_of_the_protocol(node):
    """To the letter: status, headers, body."""
    text = (ROOT / "docs/protocol.md").read_text()
    shown = re.search(r"^```\n(HTTP/1.1 426 .*?)\n```$", text, re.M | re.S)[1]
    client = node.raw()
    client.send_bytes(upgrade_head(replace={"Upgrade": None, "Connection": None}))
    response = client.recv_response()
    head = [f"HTTP/1.1 {response.status} {response.reason}",
            *(f"{name}: {value}" for name, value in response.headers), ""]
    assert [*head, response.body.decode()] == shown.split("\n")


def test_push_over_http_of_operations(node):
    client = node.client("42")
    curl, = (text for text in snippets("sh", "operations") if "/api/push" in text)
    shown = re.search(r"^# (.*)$", curl, re.M)[1]
    assert json.loads(shell(curl, node)) == json.loads(shown)
    assert client.recv_message().json() == {"from": "7"}


def test_answers_of_operations_have_the_members_that_are_shown(node):
    node.client("42")
    _, stats, history, user = map(json.loads, snippets("json", "operations"))
    real = node.admin.stats()
    assert set(stats) == set(real)
    assert set(stats["workers"][0]) == set(real["workers"][0])
    for name, value in stats["counters"].items():
        assert isinstance(value, dict) == isinstance(real["counters"][name], dict)
        if isinstance(value, dict):
            assert set(value) == set(real["counters"][name])
    kept = wait_for(lambda: node.admin.get("/api/history").json()["samples"], "a sample")
    assert set(history["samples"][0]) == set(kept[0])
    assert set(user["connections"][0]) == set(node.admin.user("42")[0])


def test_keys_are_made_as_configuration_says(make_server, keys, tmp_path):
    """And a server takes the secret that comes of it, and its tokens."""
    (tmp_path / "private.pem").write_bytes(keys.private_pem("RS256"))
    script, = snippets("sh", "configuration")
    run(["sh", "-eu", "-c", f"cd {tmp_path}\n" + swap(script, "/etc/wspushd/", "")])
    assert (tmp_path / "public.pem").read_bytes() == keys.text["RS256"]
    secret = (tmp_path / "jwt.key").read_text().strip()
    server = make_server(auth=["jwt"], jwt=section(key_file=tmp_path / "jwt.key"))
    admit(server, bearer(keys.token("42", secret=secret)), "42")


def set_acl(redis, document):
    """Runs the document's ACL SETUSER; returns the URL of that user."""
    command, = re.findall(r"^ *(ACL SETUSER .*)$", (ROOT / f"docs/{document}.md").read_text(), re.M)
    words = swap(command, ">PASSWORD", ">secret").split()
    assert redis.client.execute_command("ACL SETUSER", *words[2:])
    return f"redis://{words[2]}:secret@127.0.0.1:{redis.port}/0"


def test_acls_are_enough(make_server, own_redis):
    """For a login by session, a push, a request, and the backend that answers it."""
    redis = own_redis().start()
    server = make_server(redis_server=redis, redis=set_acl(redis, "security"), prefix="push:",
                         auth=["session"], opcodes=[opcode(110, to="stream:push:requests")])
    redis.client.set("session:s", "42")
    client = admit(server, sid("s"), "42")
    backend = set_acl(redis, "backends")
    consume = swap(snippets("python")[3], "redis.Redis()", f'redis.from_url("{backend}")')
    client.send_message(110, b'{"to":"7"}')
    assert client.recv_message().op == 8
    run([sys.executable, "-"], consume)
    assert client.recv_message().json() == {"got": {"to": "7"}}
    client.close()
    wait_for(lambda: server.subscribers("42") == 0, "the channel to be given up")
    assert redis.client.execute_command("ACL LOG") == [], "nothing was refused"


def configurations():
    """Whatever block of a document sets keys of push.conf or declares opcodes."""
    for document in DOCUMENTS:
        for block in re.findall(r"^```\n(.*?)^```$", document.read_text(), re.M | re.S):
            if re.search(r"^(?:listen +=|opcode \d)", block, re.M):
                yield pytest.param(block, id=f"{document.name}-{len(block)}")


@pytest.mark.parametrize("text", configurations())
def test_configurations_are_valid(tmp_path, text):
    path = tmp_path / "push.conf"
    path.write_text(text)
    override = ("-o", "max_connections=1000")   # this machine's limit on open files may be low
    if "listen" not in text:
        override += ("-o", "listen=127.0.0.1:8080")
    assert run_wspushd("-t", "-c", path, *override) == (0, f"{path}: ok\n")


def test_the_links_lead_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
