"""Debian's Chromium, headless, driven by the DevTools protocol over a WebSocket."""

import asyncio
import base64
import contextlib
import itertools
import json
import subprocess
import threading

import websockets

from .process import die_with_us
from .wait import TIMEOUT, wait_for

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--remote-debugging-port=0", "--window-size=1280,860"]


class Browser:
    """A browser with a fresh profile."""

    def __init__(self, directory):
        self.directory = directory
        with open(directory / "chromium.log", "wb") as log:
            self.process = subprocess.Popen(
                ["chromium", *FLAGS, f"--user-data-dir={directory / 'profile'}", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_us)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._numbers, self._answers, self._pages = itertools.count(1), {}, {}
        self._socket = self._wait(self._connect())

    def _endpoint(self):
        assert self.process.poll() is None, (self.directory / "chromium.log").read_text()
        try:
            port, path = (self.directory / "profile/DevToolsActivePort").read_text().split("\n")[:2]
            return f"ws://127.0.0.1:{port}{path}"
        except (FileNotFoundError, ValueError):
            return None

    async def _connect(self):
        endpoint = await self._loop.run_in_executor(
            None, lambda: wait_for(self._endpoint, "Chromium", TIMEOUT * 2))
        socket = await websockets.connect(endpoint, max_size=None)
        self._loop.create_task(self._read(socket))
        return socket

    async def _read(self, socket):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in socket:
                message = json.loads(text)
                if "id" in message:
                    self._answers.pop(message["id"]).set_result(message)
                elif message.get("sessionId") in self._pages:
                    self._pages[message["sessionId"]].heard(message["method"], message["params"])

    def _wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT * 3)

    async def _call(self, method, session, parameters):
        number = next(self._numbers)
        answer = self._answers[number] = self._loop.create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        return await answer

    def call(self, method, session=None, **parameters):
        answer = self._wait(self._call(method, session, parameters))
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, url, dark=False, width=None, height=None):
        """Opens a page in a new tab and waits until it is loaded. A width and height emulate a phone."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        if dark:
            page.call("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark"}])
        if width:
            page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True)
        page.go(url)
        return page

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        self.complaints = []  # errors and exceptions on the page's console
        self.requests = []    # URLs that the page has requested
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def heard(self, method, parameters):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(parameters["url"])

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, expression):
        """Returns the value of a JavaScript expression, converted from JSON."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression, timeout=TIMEOUT):
        return wait_for(lambda: self.run(expression), expression, timeout, 0.05)

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText")

    def click(self, selector):
        """Clicks with the mouse at the element's position, as a person would."""
        x, y = self.run(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: "nearest"}});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector, text):
        """Replaces the text of a field."""
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
