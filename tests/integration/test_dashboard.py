"""The dashboard: its files over HTTP, and the page in a real browser, beside a node that works."""

import os
import signal
import threading

import pytest

from harness import admin
from harness.browser import Browser
from harness.http import request
from harness.wait import ROOT, wait_for

FILES = {"": "text/html; charset=utf-8", "dashboard.css": "text/css; charset=utf-8",
         "dashboard.js": "text/javascript; charset=utf-8", "dashboard.svg": "image/svg+xml"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("browser"))
    yield made
    made.close()


def open_page(browser, server, **kwargs):
    host, port = server.admin.address
    page = browser.open(f"http://{host}:{port}/", **kwargs)
    page.wait("document.querySelectorAll('#workers tr').length > 0")
    return page


def state(page):
    return page.text("#state")


def tile(page, label):
    """What a tile says: its large text, and the small one below."""
    texts = page.run(f"""[...document.querySelectorAll(".tile")].map((tile) =>
        [...tile.children].map((child) => child.textContent)).find(([label]) => label === {label!r})""")
    return texts[1:]


def rows(page, selector):
    return page.run(f"""[...document.querySelectorAll("{selector} tr")].map((row) =>
        [...row.cells].map((cell) => cell.textContent))""")


def reasons(page, counter):
    """{reason: total} of a breakdown."""
    return {cells[0]: int(cells[2].replace(",", "")) for cells in rows(page, f"[data-counter={counter}]")}


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
    assert request(server.address, "/").status == 404, "and it is not on the clients' side"


# In the browser.

def test_it_shows_the_node_live(make_server, browser, tmp_path):
    server = make_server(workers=3, node="push-7", send_buffer=16384, queue_limit=65536)
    clients = [server.client(f"u{n}") for n in range(20)]
    page = open_page(browser, server)
    assert page.text("#node") == "push-7"
    assert page.text("#about").startswith("wspushd 0.1.0, up for")
    page.wait("document.querySelector('#state').innerText === 'ready'")
    assert tile(page, "connections") == ["20", "20 with a user"]
    assert tile(page, "Redis links up")[0] == "3/3"
    stop = threading.Event()

    def push():
        number = 0
        while not stop.wait(0.01):
            server.push(f"u{number % 20}", 110, data=number)
            number += 1

    thread = threading.Thread(target=push)
    thread.start()
    try:
        wait_for(lambda: all(int(tile(page, name)[1].split()[0].replace(",", "")) > 100
                             for name in ("pushes / s", "deliveries / s")), "100 of both")
        wait_for(lambda: 5 < float(tile(page, "pushes / s")[0]) < 100, "their rate")
        page.wait("document.querySelectorAll('#chart .line').length === 2")
        page.wait("document.querySelector('#chart .line.pushes').getAttribute('d').split('L').length > 3")
    finally:
        stop.set()
        thread.join()
    x, y = page.run("""(() => { const box = document.querySelector("#chart").getBoundingClientRect();
        return [box.right - 20, box.y + 60]; })()""")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.wait("/ s ago\\n[0-9.]+ pushes.s\\n[0-9.]+ deliveries.s/.test(document.querySelector('#reading').innerText)")
    page.screenshot(tmp_path / "dashboard.png")
    for client in clients:
        client.close()
    page.wait("document.querySelector('.tile b').textContent === '0'")
    assert sum(reasons(page, admin.CLOSED).values()) == 20
    assert page.complaints == []
    host, port = server.admin.address
    assert {url.split("/")[2] for url in page.requests} == {f"{host}:{port}"}


def test_workers_as_they_are_with_what_befalls_them(make_server, browser):
    server = make_server(workers=2)
    server.workers_may_change = True
    clients = [server.client(f"u{n}") for n in range(10)]
    page = open_page(browser, server)

    def shown():
        """The worker's pid may change while the page asks."""
        now = [[str(worker["slot"]), str(worker["pid"]), str(worker["connections"]),
                str(worker["restarts"]), worker["link"]] for worker in server.admin.workers()]
        return rows(page, "#workers") == now and now

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
    counters = server.admin.stats()["counters"]
    wait_for(lambda: reasons(page, admin.DROPPED)["slow"] > 0, "the drops")
    wait_for(lambda: reasons(page, admin.CLOSED)["slow"] == 1, "the end of the slow client")
    assert set(reasons(page, admin.REFUSED)) == {name.replace("_", " ")
                                                 for name in counters[admin.REFUSED]}
    assert tile(page, "dropped / s")[1] != "0 in all"


def test_an_outage_of_redis_and_of_the_server_shows(make_server, own_redis, browser):
    redis = own_redis().start()
    server = make_server(workers=2, redis_server=redis)
    server.expect_log(r"(?i)redis|link")
    page = open_page(browser, server)
    page.wait("document.querySelector('#state').innerText === 'ready'")
    redis.kill()
    page.wait("document.querySelector('#state').innerText === 'not ready: redis link down'")
    assert tile(page, "Redis links up")[0] in ("0/2", "1/2")
    wait_for(lambda: {cells[4] for cells in rows(page, "#workers")} <= {"down", "connecting"}, "it")
    redis.start()
    page.wait("document.querySelector('#state').innerText === 'ready'")
    server.stop()
    page.wait("document.querySelector('#state').innerText === 'no answer'")
    server.start()
    page.wait("document.querySelector('#state').innerText === 'ready'")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone(make_server, browser, tmp_path, dark):
    server = make_server(workers=4, node="a-node-with-a-rather-long-name.example.org")
    page = open_page(browser, server, dark=dark)
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=780, deviceScaleFactor=2,
              mobile=True)
    page.wait("document.documentElement.clientWidth === 360")
    assert page.run("document.documentElement.scrollWidth") == 360
    assert page.run("""[...document.querySelectorAll("td, .tile b")].filter((x) =>
        x.getBoundingClientRect().right > 360).length""") == 0
    page.screenshot(tmp_path / "phone.png")


def test_names_are_shown_and_not_run(make_server, browser):
    evil = "<img/src=x/onerror=document.title=1>"
    server = make_server(node=evil)
    page = open_page(browser, server)
    assert page.text("#node") == evil
    assert page.run("document.querySelectorAll('main img, header img').length") == 0
    assert page.complaints == []
