"""The console: its files over HTTP, and the page in a real browser, with the example backend."""

import json
import subprocess

import pytest

from harness.browser import Browser
from harness.http import request, upgrade_head
from harness.nginx import in_front_of
from harness.server import Raw, opcode
from harness.wait import ROOT, wait_for

OPCODES = [
    opcode(100, name="echo", to="echo"),
    opcode(110, name="add-friend", to="stream:push:requests", payload="json"),
    opcode(111, name="get-info", to="stream:push:requests", payload="json"),
]
FILES = {"index.html": "text/html; charset=utf-8", "console.css": "text/css; charset=utf-8",
         "console.js": "text/javascript; charset=utf-8", "console.svg": "image/svg+xml"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("browser"))
    yield made
    made.close()


@pytest.fixture
def with_console(make_server, own_redis):
    def make(**kwargs):
        return make_server(console=True, opcodes=OPCODES, prefix="push:", heartbeat=60,
                           redis_server=own_redis().start(), **kwargs)
    return make


def url(server, query=""):
    return f"http://127.0.0.1:{server.address[1]}/{query}"


# Over HTTP.

def test_the_files_are_served_as_they_are(with_console):
    server = with_console()
    for name, kind in FILES.items():
        response = request(server.address, "/" + name)
        assert (response.status, response.header("Content-Type")) == (200, kind)
        assert response.body == (ROOT / "console" / name).read_bytes()
    page = request(server.address, "/?user=7")
    assert page.body == (ROOT / "console/index.html").read_bytes()
    client = request(server.address, "/wspush.js")
    assert client.body == (ROOT / "clients/js/wspush.js").read_bytes()


def test_the_policy_lets_nothing_in_from_elsewhere(with_console):
    response = request(with_console().address, "/")
    policy = dict(part.split(" ", 1) for part in
                  response.header("Content-Security-Policy").split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)
    assert response.header("X-Content-Type-Options") == "nosniff"
    text = (ROOT / "console/index.html").read_text()
    assert "<style" not in text and "style=" not in text and " onclick" not in text


def test_it_is_not_there_unless_asked_for(server):
    for path in ("/", "/index.html", "/console.js", "/console.json", "/wspush.js"):
        response = request(server.address, path)
        assert (response.status, response.json()["error"]) == (404, "not_found")


def test_only_the_page_is_served_and_only_by_get(with_console):
    server = with_console()
    for path in ("/nothing", "//", "/../push.conf", "/console.js/", "/CONSOLE.JS", "/console"):
        assert request(server.address, path).status == 404
    for method in ("POST", "HEAD", "DELETE"):
        assert request(server.address, "/", method=method).status == 404
    client = server.raw()
    client.send_bytes(upgrade_head("/?user=1"))
    assert client.recv_response().status == 404
    assert server.client("1").hello["user"] == "1"


def test_a_page_in_pieces_is_served_too(with_console):
    server = with_console()
    client = server.raw()
    for byte in b"GET /console.json HTTP/1.1\r\nHost: a\r\n\r\n":
        client.send_bytes(bytes([byte]))
    response = client.recv_response()
    assert (response.status, response.json()["path"]) == (200, "/ws")
    client.expect_end()


def settings(server):
    return request(server.address, "/console.json").json()


def test_the_page_is_told_what_push_conf_says(with_console):
    server = with_console(path='/a/"push"', topics=["room:*"], auth=["session", "none"],
                          session=Raw('{ cookie = "sid" prefix = "session:" }'))
    assert settings(server) == {
        "path": '/a/"push"', "node": server.admin.stats()["node"], "ready": True,
        "publish": f"redis-cli -p {server.redis.port}", "prefix": "push:", "auth": ["session", "none"],
        "jwt": {"cookie": "token", "query": ""}, "session": {"cookie": "sid"}, "topics": ["room:*"],
        "opcodes": [{"op": 100, "name": "echo", "payload": "any"}, {"op": 110, "name": "add-friend", "payload": "json"},
                    {"op": 111, "name": "get-info", "payload": "json"}]}


def test_the_command_that_publishes_is_one(with_console, user):
    """It is pasted into a shell: by a TCP port, and by a socket, both with a password, which is asked for."""
    server = with_console()
    client = server.client(user)
    ran = subprocess.run(f"{settings(server)['publish']} publish push:user:{user} '{{\"op\":110}}'", shell=True,
                         capture_output=True, text=True, timeout=20)
    assert ran.stdout.strip() in ("1", "(integer) 1"), ran
    assert client.recv_message().op == 110


@pytest.mark.parametrize("redis_url, command", [
    ("unix:///tmp/it's here.sock?db=0", "redis-cli -s '/tmp/it'\\''s here.sock'"),
    ("redis://app:secret@redis.invalid:7000/0", "redis-cli -h redis.invalid -p 7000 --user app --askpass"),
    ("redis://127.0.0.1:6379/3", "redis-cli"),
])
def test_the_command_has_no_password(make_server, redis_url, command):
    server = make_server(ready=False, console=True, redis=redis_url)
    server.expect_log("redis")
    told = settings(server)
    assert told["publish"] == command
    assert told["ready"] is False and told["why"]
    assert "secret" not in json.dumps(told)


# The login of a page that only asks.

def ask_login(server, query="", **fields):
    return request(server.address, "/ws" + query, headers=[("X-Login-Check", "1"), *fields.items()])


def test_a_page_can_ask_what_the_server_says_to_a_login(with_console):
    server = with_console(auth=["session"], session=Raw('{ cookie = "sid" prefix = "session:" }'))
    server.redis.client.set("session:abc", "42")
    refused = ask_login(server)
    assert (refused.status, refused.json()["error"]) == (401, "unauthorized")
    assert ask_login(server, Cookie="sid=other").status == 401
    assert ask_login(server, Cookie="sid=abc").status == 204
    server.wait_connections(0)


def test_nobody_else_can(make_server):
    server = make_server(console=False)
    assert ask_login(server, "?user=42").status == 426


def test_asking_opens_no_connection(with_console):
    server = with_console()
    assert ask_login(server, "?user=42").status == 204
    assert request(server.address, "/echo", headers=[("X-Login-Check", "1")]).status == 426
    assert server.push("42", data=1) == 0


# In the browser.

def lines(page):
    """What the list of messages shows: [(direction, "110 add-friend", body)]."""
    return [tuple(line) for line in page.run("""
        [...document.querySelectorAll("#messages li")].map((li) =>
            [li.className, li.querySelector(".op").textContent.trim(),
             li.querySelector(".body").textContent])""")]


def wait_for_line(page, direction, label, part):
    def found():
        return [body for way, op, body in lines(page)
                if (way, op) == (direction, label) and part in body]
    return wait_for(found, f"{direction} {label} {part!r}", interval=0.05)[-1]


def wait_ready(page, user):
    page.wait(f"document.querySelector('#state').innerText === 'ready as {user}'")


def test_the_story_in_two_tabs(with_console, browser, make_backend, tmp_path):
    server = with_console()
    make_backend(server.redis)
    seven = browser.open(url(server, "?user=7"))
    wait_ready(seven, "7")
    page = browser.open(url(server))
    assert page.text("#state") == "not connected"
    page.click("#connect")
    wait_ready(page, "42")
    assert page.text("[data-hello=server]").startswith("wspushd/")

    page.click("[data-op='100']")
    page.click("#send")
    wait_for_line(page, "out", "100 echo", "hello")
    wait_for_line(page, "in", "100 echo", "hello")

    page.click("[data-op='110']")
    page.click("#send")
    wait_for_line(page, "in", "8 ACCEPTED", '"op": 110')
    wait_for_line(page, "in", "110 add-friend", '"to": "7", "online": true')
    wait_for_line(seven, "in", "110 add-friend", '"from": "42", "text": "我们都好"')

    seven.click("[data-op='111']")
    seven.click("#send")
    wait_for_line(seven, "in", "111 get-info", '"from": "42"')

    page.type("#payload", '{"to": "nobody"}')
    page.click("[data-op='110']")
    page.type("#payload", '{"to": "nobody"}')
    page.click("#send")
    wait_for_line(page, "in", "110 add-friend", '"to": "nobody", "online": false')

    assert server.push("42", 200, b64="AAEC/w==") == 1
    wait_for_line(page, "in", "200", "4 bytes")
    page.click("#hex")
    assert "00 00 00 c8  00 01 02 ff" in page.run(
        "[...document.querySelectorAll('.hex')].map((x) => x.textContent).join('|')")
    page.click("#hex")
    page.screenshot(tmp_path / "console.png")

    page.click("#connect")
    page.wait("document.querySelector('#state').innerText === 'not connected'")
    wait_for(lambda: server.push("42", data=1) == 0, "42 to be offline")
    assert page.complaints == seven.complaints == []
    assert {r.split("/")[2] for r in page.requests} == {f"127.0.0.1:{server.address[1]}"}


def test_what_others_send_is_shown_and_not_run(with_console, browser):
    server = with_console()
    page = browser.open(url(server, "?user=42"))
    wait_ready(page, "42")
    evil = "<img src=x onerror='document.title=1'><script>document.title=1</script>"
    server.push("42", text=evil)
    assert wait_for_line(page, "in", "110 add-friend", "<img") == evil
    assert page.run("document.querySelectorAll('#messages img, #messages script').length") == 0
    assert page.text("title") is not None and page.complaints == []


def test_it_comes_back_by_itself_after_a_restart_and_not_after_a_kick(with_console, browser):
    server = with_console()
    page = browser.open(url(server, "?user=42"))
    wait_ready(page, "42")
    server.stop()
    page.wait("/^again in|^connecting/.test(document.querySelector('#state').innerText)")
    server.start()
    wait_ready(page, "42")
    server.publish("ctl", {"kick": "42", "reason": "enough"})
    page.wait("document.querySelector('#state').innerText === 'closed: 4001'")
    assert any("4001: enough" in body for _, _, body in lines(page))
    assert page.text("#connect") == "Connect"


def test_errors_are_shown_as_such(with_console, browser):
    server = with_console()
    page = browser.open(url(server, "?user=42"), dark=True)
    wait_ready(page, "42")
    page.type("#op", "999")
    page.click("#send")
    assert json.loads(wait_for_line(page, "in bad", "0 ERROR", "unknown_opcode"))["op"] == 999
    page.type("#op", "110")
    page.type("#payload", "no json")
    page.click("#send")
    wait_for_line(page, "in bad", "0 ERROR", "bad_payload")


def test_behind_a_path_of_a_proxy(with_console, browser, make_nginx):
    server = with_console()
    nginx = make_nginx("wspushd.conf", in_front_of(server))
    page = browser.open(f"http://127.0.0.1:{nginx.port}/serv/?user=42")
    wait_ready(page, "42")
    assert f"ws://127.0.0.1:{nginx.port}/serv/ws?user=42" in page.requests


def test_topics_are_joined_and_left(with_console, browser):
    server = with_console(topics=["room:*"])
    page = browser.open(url(server, "?user=42"))
    wait_ready(page, "42")
    page.type("#topic", "room:1")
    page.click("#join")
    page.wait("document.querySelector('#joined [data-topic=\"room:1\"]') !== null")
    assert "push:topic:room:1" in page.text("#publish-topic")
    assert server.publish("topic:room:1", {"op": 110, "text": "hello, all"}) == 1
    wait_for_line(page, "in", "110 add-friend", "hello, all")
    page.click("#joined [data-topic='room:1']")
    page.wait("document.querySelector('#joined').children.length === 0")
    wait_for(lambda: server.publish("topic:room:1", {"op": 110}) == 0, "the membership to end")


def test_a_refused_login_says_why_and_is_not_tried_again(with_console, browser):
    server = with_console(auth=["session"], session=Raw('{ cookie = "sid" prefix = "session:" }'))
    server.redis.client.set("session:abc", "42")
    page = browser.open(url(server))
    page.wait("document.querySelector('#user').hidden")
    page.type("#secret", "wrong")
    page.click("#connect")
    page.wait("document.querySelector('#state').innerText === 'refused: 401'")
    assert any("401 unauthorized" in body for _, _, body in lines(page))
    page.type("#secret", "abc")
    page.click("#connect")
    wait_ready(page, "42")
    assert "push:user:42" in page.text("#publish")


def test_it_is_red_while_redis_is_down_and_tells_of_the_gap_in_words(with_console, browser):
    server = with_console()
    server.expect_log("redis")
    page = browser.open(url(server, "?user=42"))
    wait_ready(page, "42")
    assert page.run("document.querySelector('#health').hidden") is True
    server.redis.kill()
    page.wait("/not ready/.test(document.querySelector('#health').innerText)")
    server.redis.start()
    page.wait("document.querySelector('#health').hidden")
    wait_for_line(page, "in bad", "9 GAP", "pushes may be missing: Redis was out of reach for")


def test_on_a_phone_the_messages_stay_in_view(with_console, browser, tmp_path):
    server = with_console(topics=["room:*"])
    page = browser.open(url(server, "?user=42"), width=390, height=844)
    wait_ready(page, "42")
    page.click("[data-op='100']")
    page.click("#send")
    wait_for_line(page, "in", "100 echo", "hello")
    box = page.run("""(() => { const r = document.querySelector("#messages li:last-child").getBoundingClientRect();
        return [r.top, r.bottom, innerHeight, document.documentElement.scrollWidth]; })()""")
    assert 0 <= box[0] < box[1] <= box[2], "the last message is on the screen"
    assert box[3] <= 390, "nothing to scroll to the side"
    small = page.run("""[...document.querySelectorAll("button, input, a")].filter((x) => x.offsetParent && x.type !== "checkbox" &&
        (x.getBoundingClientRect().height < 44 || x.getBoundingClientRect().width < 44)).map((x) => x.id || x.textContent)""")
    assert small == []
    zoomed = page.run("""[...document.querySelectorAll("input, textarea")].filter((x) => x.offsetParent &&
        parseFloat(getComputedStyle(x).fontSize) < 16).map((x) => x.id)""")
    assert zoomed == []
    page.screenshot(tmp_path / "phone.png")
