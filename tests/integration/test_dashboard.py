"""The dashboard: its files over HTTP, and the page in a real browser, with a running node."""

import json
import os
import re
import signal
import threading

import pytest

from harness import admin
from harness.browser import Browser
from harness.http import request
from harness.server import opcode
from harness.wait import ROOT, wait_for

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FILES = {"": TYPES[".html"]} | {path.name: TYPES[path.suffix] for path in (ROOT / "dashboard").glob("dashboard.*")}
HOUR_MS = 3600 * 1000


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("browser"))
    yield made
    made.close()


def open_page(browser, server, login="", **kwargs):
    host, port = server.admin.address
    page = browser.open(f"http://{login}{host}:{port}/", **kwargs)
    page.wait("document.querySelectorAll('#workers tr').length > 0")
    return page


def whole(text):
    """The number in "1,234 in all"."""
    return int(text.split()[0].replace(",", ""))


def tile(page, label):
    """Returns a tile's large text and the small one below."""
    texts = page.run(f"""[...document.querySelectorAll(".tile")].map((tile) =>
        [...tile.children].map((child) => child.textContent)).find(([label]) => label === {label!r})""")
    return texts[1:]


def rows(page, selector):
    return page.run(f"""[...document.querySelectorAll("{selector} tr")].map((row) =>
        [...row.cells].map((cell) => cell.textContent))""")


def counters(page):
    """Two dictionaries, {(counter, value of its label or None): number}: what is shown, what is folded away."""
    lists = page.run("""["#counters", "#zeros"].map((list) => [...document.querySelectorAll(`${list} li`)]
        .map(({ dataset }) => [dataset.counter, dataset.value ?? null, Number(dataset.number)]))""")
    return [{(name, value): number for name, value, number in rows} for rows in lists]


def reasons(page, counter):
    """{reason: total}, also of those that are folded away."""
    some, none = counters(page)
    return {value: number for (name, value), number in (some | none).items() if name == counter}


def points(page, chart, key):
    """How many points the lines of a chart have."""
    return page.run(f"""[...document.querySelectorAll("[data-chart={chart}] .line.{key}")]
        .reduce((n, line) => n + line.getAttribute("d").split("L").length, 0)""")


def look_up(page, user):
    """Waits for the page's report on a user and returns it."""
    page.run("document.querySelector('#found').replaceChildren()")
    page.type("#user", user)
    page.click("#lookup button")
    return page.wait("document.querySelector('#found').innerText")


# Over HTTP.

def test_the_files_are_served_as_they_are(server):
    for name, kind in FILES.items():
        response = server.admin.get("/" + name)
        assert (response.status, response.header("Content-Type")) == (200, kind)
        assert response.body == (ROOT / "dashboard" / (name or "index.html")).read_bytes()


def test_the_policy_lets_nothing_in_from_elsewhere(server):
    for name in FILES:
        response = server.admin.get("/" + name)
        policy = dict(part.split(" ", 1) for part in
                      response.header("Content-Security-Policy").split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in str(policy)
        assert response.header("X-Content-Type-Options") == "nosniff"
    text = (ROOT / "dashboard/index.html").read_text()
    assert "<style" not in text and "style=" not in text and " onclick" not in text


@pytest.mark.parametrize("path", ["/index.html", "/dashboard.", "/dashboard.html", "/dashboard.js/",
                                  "/dashboard.css.map", "/dashboard", "/DASHBOARD.JS", "//",
                                  "/dashboard." + "x" * 5000, "/dashboard.%6as", "/console.js"])
def test_other_paths_are_404(server, path):
    assert server.admin.status(path) == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_405(server, method):
    assert server.admin.get("/", method=method, body=b"{}").status == 405
    assert request(server.address, "/").status == 404, "the clients' listener does not serve it"


# In the browser.

def test_it_shows_the_node_live(make_server, browser, tmp_path):
    server = make_server(workers=3, node="push-7", max_connections=1500)
    clients = [server.client(f"u{n}") for n in range(20)]
    page = open_page(browser, server)
    assert page.text("#node") == "push-7"
    assert page.text("#about").startswith("wspushd 0.1.0+")
    page.wait("document.querySelector('#state').innerText === 'ready'")
    assert tile(page, "connections") == ["20", "of 1,500: 1 %"]
    assert tile(page, "with a user")[0] == "20"
    assert tile(page, "Redis links up")[0] == "3 of 3"
    stop = threading.Event()

    def push():
        number = 0
        while not stop.wait(0.01):
            server.push(f"u{number % 20}", 110, data=number)
            number += 1

    thread = threading.Thread(target=push)
    thread.start()
    try:
        wait_for(lambda: all(whole(tile(page, name)[1]) > 100 for name in ("pushes / s", "deliveries / s")),
                 "100 of both")
        wait_for(lambda: 5 < whole(tile(page, "pushes / s")[0]) < 100, "their rate")
        page.click("#ranges button:last-child")
        wait_for(lambda: points(page, "flow", "pushes") > 3, "the line of pushes")
    finally:
        stop.set()
        thread.join()
    for text in tile(page, "latency, last minute"):
        assert re.fullmatch(r"(p99 )?[\d,]+ (µs|ms)", text)
    assert re.fullmatch(r"[\d,]+ (kB|MB)", tile(page, "memory")[0])
    assert re.fullmatch(r"(< 1|\d+) %", tile(page, "CPU")[0])
    x, y = page.run("""(() => { const box = document.querySelector("[data-chart=flow] svg").getBoundingClientRect();
        return [box.right - 20, box.y + 60]; })()""")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.wait("/ ago\\npushes [0-9,< ]+\\ndeliveries [0-9,< ]+\\ndropped 0$/.test("
              "document.querySelector('[data-chart=flow] .reading').innerText)")
    page.screenshot(tmp_path / "dashboard.png")
    for client in clients:
        client.close()
    page.wait("document.querySelector('.tile b').textContent === '0'")
    wait_for(lambda: sum(reasons(page, admin.CLOSED).values()) == 20, "their ends")
    assert page.complaints == []
    host, port = server.admin.address
    assert {url.split("/")[2] for url in page.requests} == {f"{host}:{port}"}
    assert sum(url.endswith("/api/history") for url in page.requests) == 1, "not once a second"


def test_a_page_that_is_opened_later_knows_what_was_before(make_server, browser):
    server = make_server()
    client = server.client("42")
    wait_for(lambda: server.admin.get("/api/history").json()["samples"], "the first sample")
    for number in range(200):
        server.push("42", 110, data=number)
        client.recv_message()
    page = open_page(browser, server)
    assert whole(tile(page, "pushes / s")[0]) > 10, "although it has asked once"
    page.click("#ranges button:last-child")
    wait_for(lambda: points(page, "flow", "pushes") >= 1 and points(page, "latency", "p99") >= 1, "the lines")


def test_the_charts_begin_with_the_last_hour(make_server, browser):
    """Of a server that has run so long: its history is put into the answer."""
    server = make_server()
    wait_for(lambda: server.admin.get("/api/history").json()["samples"], "the first sample")
    answer = server.admin.get("/api/history").json()
    oldest = {**answer["samples"][0], "connections": 7, "at_ms": answer["now_ms"] - HOUR_MS}
    answer["samples"] = [{**oldest, "at_ms": oldest["at_ms"] + n * 10000} for n in range(360) if not 90 < n < 120]
    page = browser.open("about:blank")
    page.call("Page.addScriptToEvaluateOnNewDocument", source=f"""
        const asked = window.fetch;
        window.fetch = (url, options) => String(url).endsWith("/api/history")
            ? Promise.resolve(new Response({json.dumps(json.dumps(answer))})) : asked(url, options);""")
    host, port = server.admin.address
    page.go(f"http://{host}:{port}/")
    page.wait("document.querySelectorAll('[data-chart=connections] .line').length === 2")  # with a hole
    assert 320 < points(page, "connections", "connections") < 340
    left, width = page.run("""(() => { const svg = document.querySelector("[data-chart=connections] svg");
        return [svg.querySelector(".line").getBBox().x, svg.getBoundingClientRect().width]; })()""")
    assert left < width / 4, "an hour ago is on the left"
    assert page.complaints == []


@pytest.mark.parametrize("seconds", [20, -3600])
def test_what_was_missed_is_asked_for(make_server, browser, seconds):
    """A page that was hidden finds that its clock has gone on; one whose clock was set back begins again."""
    server = make_server()
    page = open_page(browser, server)
    page.run(f"(() => {{ const now = Date.now; Date.now = () => now() + {seconds * 1000}; }})()")
    wait_for(lambda: sum(url.endswith("/api/history") for url in page.requests) == 2, "the second question")
    page.wait("document.querySelector('#state').innerText === 'ready'")
    page.click("#ranges button:last-child")
    wait_for(lambda: points(page, "connections", "connections") > 1, "the line")
    assert sum(url.endswith("/api/history") for url in page.requests) == 2 and page.complaints == []


def test_rates_and_quantiles_are_those_of_prometheus(server, browser):
    page = open_page(browser, server)

    def of(before, after, what):
        """A rate or quantile between two samples, by the page's own module with a state of its own."""
        def history(number):
            return f"""m.addHistory({{ now_ms: 0, latency_le_us: [50, 100, 200],
                samples: [{{ at_ms: {number * 10000}, ...{json.dumps([before, after][number])} }}] }}, 0);"""
        return page.run(f"""import("./dashboard.samples.js?" + Math.random()).then((m) => {{
            {history(0)} {history(1)} const [from, to] = m.span(3600); return {what} ?? null; }})""")

    none, some = {"latency": [0, 0, 0, 0]}, {"latency": [10, 20, 20, 20]}
    assert of(none, some, "m.quantile(0.5, from, to)") == 50
    assert of(none, some, "m.quantile(0.25, from, to)") == 25
    assert of(none, some, "m.quantile(0.75, from, to)") == 75
    assert of(none, some, "m.quantile(1, from, to)") == 100
    assert of(some, some, "m.quantile(0.5, from, to)") is None, "no delivery"
    assert of(some, {"latency": [10, 20, 20, 30]}, "m.quantile(0.5, from, to)") == 200, "above all bounds"
    assert of({"cpu_ms": 100, **none}, {"cpu_ms": 350, **none}, "m.growth('cpu_ms', from, to)") == 25
    assert of({"cpu_ms": 100, **none}, {"cpu_ms": 90, **none}, "m.growth('cpu_ms', from, to)") == 0
    assert of(none, some, "m.growth('cpu_ms', to, to)") is None


def test_workers_as_they_are_with_what_befalls_them(make_server, browser):
    server = make_server(workers=2)
    server.workers_may_change = True
    clients = [server.client(f"u{n}") for n in range(10)]
    page = open_page(browser, server)

    def shown():
        """The worker's pid may change while the page asks."""
        now = [[str(worker["slot"]), str(worker["pid"]), str(worker["connections"]),
                str(worker["restarts"]), worker["link"]] for worker in server.admin.workers()]
        shown = [cells[:5] for cells in rows(page, "#workers")]
        return shown == now and now

    before = wait_for(shown, "the workers")
    assert sum(int(cells[2]) for cells in before) == 10
    os.kill(int(before[1][1]), signal.SIGKILL)
    wait_for(lambda: rows(page, "#workers")[1][3] == "1", "the restart")
    assert wait_for(shown, "the successor")[1][1] != before[1][1]
    clients[0].expect_silence()


def test_drops_and_refusals_by_reason(make_server, browser):
    server = make_server(workers=1, send_buffer=16384, queue_limit=65536)
    page = open_page(browser, server, dark=True)
    wait_for(lambda: reasons(page, admin.DROPPED).get("slow") == 0, "no drop")
    server.client("slow", receive_buffer=4096)
    server.redis.publish_many((server.channel("user:slow"), b"\0\0\0\x6e" + b"." * 1000)
                              for _ in range(3000))
    server.publish("user:slow", b"{")
    request(server.address, "/ws", headers=[("Origin", "https://evil.example")])
    stats = server.admin.stats()["counters"]
    wait_for(lambda: reasons(page, admin.DROPPED)["slow"] > 0, "the drops")
    wait_for(lambda: reasons(page, admin.CLOSED)["slow"] == 1, "the end of the slow client")
    assert set(reasons(page, admin.REFUSED)) == set(stats[admin.REFUSED])
    assert tile(page, "dropped / s")[1] != "0 in all"


def test_zeros_are_one_line(make_server, browser):
    server = make_server()
    server.client("42")
    page = open_page(browser, server)

    def leaves():
        stats = server.admin.stats()
        each = stats["counters"] | {"requests_total": stats["requests"]}
        return {(name, value): number for name, counter in each.items() for value, number in
                (counter.items() if isinstance(counter, dict) else [(None, counter)])}

    wait_for(lambda: counters(page)[0].get(("connections_opened_total", None)) == 1, "the client")
    some, none = counters(page)
    assert (some | none).keys() == leaves().keys()
    assert all(some.values()) and not any(none.values()) and len(none) > 50
    assert "0" not in page.run("[...document.querySelectorAll('#counters b')].map((one) => one.textContent)")
    page.wait("parseInt(document.querySelector('#zeros-title').innerText) === "
              "document.querySelectorAll('#zeros li').length")
    assert re.fullmatch(r"\d+ counters are zero", page.text("#zeros-title"))
    assert page.run("document.querySelector('#zeros').checkVisibility()") is False
    page.click("#zeros-title")
    page.wait("document.querySelector('#zeros').checkVisibility()")
    server.publish("user:42", b"{")
    page.wait("document.querySelector('#counters [data-counter=push_malformed_total][data-value=bad_json]') !== null")
    assert page.run("document.querySelector('#zeros').checkVisibility()"), "it stays open"


def test_every_word_is_explained(make_server, browser):
    server = make_server(opcodes=[opcode(110, name="add-friend", to="echo")])
    page = open_page(browser, server)
    unexplained = """[...document.querySelectorAll("#counters li, #zeros li")]
        .filter((row) => !row.querySelector("small").textContent).map((row) => row.innerText)"""
    assert page.run(unexplained) == []
    assert page.run("[...document.querySelectorAll('.tile, #columns th')].filter((one) => !one.title).length") == 0
    page.click(".card:last-child summary")
    page.wait("document.querySelector('#words').checkVisibility()")
    assert page.run("document.querySelectorAll('#words dt').length") > 10


def test_numbers_are_whole(make_server, browser):
    server = make_server()
    client = server.client("42")
    for number in range(1234):
        server.publish("user:42", b"\0\0\0\x6e")
        client.recv_message()
    page = open_page(browser, server)
    wait_for(lambda: tile(page, "pushes / s")[1] == "1,234 in all", "the pushes")
    texts = page.run("[...document.querySelectorAll('.tile b, .tile small, .counters b, .counters i, #workers td')]"
                     ".map((one) => one.textContent)")
    assert not [text for text in texts if re.search(r"\d\.\d|\d[KM]|\d{4}", text) and not text.isdigit()]
    assert page.run("[...document.querySelectorAll('.chart text')].filter((text) => text.textContent.includes('.')).length") == 0


# A user.

def test_a_user_is_looked_up(make_server, browser):
    server = make_server(workers=3)
    names = ["42", "我们/../?#%41", "<b>x</b>"]
    for name in names:
        server.client(name)
        server.client(name, mode="json")
    page = open_page(browser, server)
    for name in names:
        text = look_up(page, name)
        assert text.startswith(f"{name} has 2 connections here.")
        shown = page.run("""[...document.querySelectorAll(".connection")].map((list) =>
            [...list.querySelectorAll("dd")].map((field) => field.textContent))""")
        wanted = server.admin.user(name)
        assert [fields[:4] for fields in shown] == [[one["conn"], one["address"], str(one["worker"]), one["mode"]]
                                                   for one in wanted]
    assert page.run("document.querySelectorAll('#found b').length") == 0
    assert page.complaints == []


def test_a_user_who_is_not_there_has_reasons(make_server, own_redis, browser):
    redis = own_redis().start()
    server = make_server(redis_server=redis)
    server.expect_log(r"(?i)redis|link")
    request(server.address, "/ws", headers=[("Origin", "https://evil.example")])
    page = open_page(browser, server)
    text = look_up(page, "nobody")
    assert text.startswith("nobody has no connection here.")
    assert "PUBLISH answers how many nodes have them" in text and "not ready" not in text
    redis.kill()
    page.wait("document.querySelector('#state').innerText.startsWith('not ready')")
    assert "This node is not ready: " in look_up(page, "nobody")
    assert "1 to 63 bytes" in look_up(page, "x" * 64)


# Behind a token.

def test_it_works_behind_a_token(make_server, browser):
    """The browser sends the page's password with the page's requests. With a name and a password
    in its address, fetch() refuses relative ones."""
    server = make_server(admin_token="a-token-of-the-tests")
    server.client("42")
    page = open_page(browser, server, login="any:a-token-of-the-tests@")
    page.wait("document.querySelector('#state').innerText === 'ready'")
    assert tile(page, "connections")[0] == "1"
    assert look_up(page, "42").startswith("42 has 1 connection here.")
    page.wait("document.querySelector('#counters small').textContent")
    assert sum(url.endswith("/api/history") for url in page.requests) == 1
    assert page.complaints == []


def test_an_outage_of_redis_and_of_the_server_shows(make_server, own_redis, browser):
    redis = own_redis().start()
    server = make_server(workers=2, redis_server=redis)
    server.expect_log(r"(?i)redis|link")
    page = open_page(browser, server)
    page.wait("document.querySelector('#state').innerText === 'ready'")
    redis.kill()
    page.wait("document.querySelector('#state').innerText === 'not ready: redis link down'")
    assert tile(page, "Redis links up")[0] in ("0 of 2", "1 of 2")
    assert redis.url.split("/")[2] in page.text("#trouble"), "and why"
    wait_for(lambda: {cells[4] for cells in rows(page, "#workers")} <= {"down", "connecting"}, "it")
    redis.start()
    page.wait("document.querySelector('#state').innerText === 'ready'")
    server.stop()
    page.wait("document.querySelector('#state').innerText === 'no answer'")
    server.start()
    page.wait("document.querySelector('#state').innerText === 'ready'")
    assert sum(url.endswith("/api/history") for url in page.requests) == 2, "from the new server, too"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone(make_server, browser, tmp_path, dark):
    server = make_server(workers=4, node="a-node-with-a-rather-long-name.example.org")
    server.client("我" * 21)
    page = open_page(browser, server, dark=dark)
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2,
              mobile=True)
    page.wait("document.documentElement.clientWidth === 390")
    look_up(page, "我" * 21)
    page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.run("document.documentElement.scrollWidth") == 390
    assert page.run("""[...document.querySelectorAll("main *")].filter((one) =>
        one.getBoundingClientRect().right > 390).map((one) => one.outerHTML.slice(0, 80))""") == []
    small = page.run("""[...document.querySelectorAll("button, input, summary, a")].filter((one) =>
        one.getBoundingClientRect().height < 44).map((one) => one.outerHTML.slice(0, 80))""")
    assert small == []
    assert page.run("""[...document.querySelectorAll("input")].every((one) =>
        parseFloat(getComputedStyle(one).fontSize) >= 16)""")
    page.screenshot(tmp_path / "phone.png")


def test_names_are_shown_and_not_run(make_server, browser):
    evil = "<img/src=x/onerror=document.title=1>"
    server = make_server(node=evil)
    page = open_page(browser, server)
    assert page.text("#node") == evil
    assert page.run("document.querySelectorAll('main img, header img').length") == 0
    assert page.complaints == []
