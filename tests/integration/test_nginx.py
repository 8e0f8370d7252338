"""wspushd behind Debian's nginx, with the shipped site files of scripts/nginx."""

import re
import socket
import threading
import time

import pytest

from harness.client import SUBPROTOCOL
from harness.http import accept_of, KEY, upgrade_head
from harness.login import admit, ask, refuse, sid
from harness.net import can_connect, free_port
from harness.nginx import in_front_of
from harness.process import alive
from harness.wait import SLACK, wait_for


def connect(server, nginx, user, mode="binary", extra=(), **head):
    extra = [("Sec-WebSocket-Protocol", SUBPROTOCOL[mode]), *extra]
    return server.client(user, mode, address=nginx.address, path="/serv/ws", extra=extra, **head)


def test_the_story_through_the_proxy(server, make_nginx, user):
    nginx = make_nginx("wspushd.conf", in_front_of(server))
    binary, text = connect(server, nginx, user), connect(server, nginx, user, mode="json")
    assert server.push(user, 110, data={"from": "7", "text": "我们都好"}) == 1
    for client in (binary, text):
        assert client.recv_message().json() == {"from": "7", "text": "我们都好"}
    binary.send_message(100, b"echo")
    assert binary.recv_message().bytes() == b"echo"
    large = b"x" * 60000
    binary.send_message(100, large)
    assert binary.recv_message().bytes() == large
    server.publish("ctl", {"kick": user, "code": 4001, "reason": "bye"})
    for client in (binary, text):
        assert client.expect_close(4001) == (4001, "bye")


def test_over_a_unix_socket(make_server, make_nginx, user, tmp_path):
    path = str(tmp_path / "ws.sock")
    server = make_server(listen=["unix:" + path])
    nginx = make_nginx("wspushd.conf", {"server 127.0.0.1:8080;": f"server unix:{path};"})
    client = connect(server, nginx, user)
    assert server.push(user, 110, text="through") == 1
    assert client.recv_message().bytes() == b"through"
    assert server.admin.user(user)[0]["address"] == "127.0.0.1" # whom nginx names in X-Forwarded-For


def test_a_client_that_is_dead_is_closed_through_the_proxy(make_server, make_nginx, user):
    server = make_server(heartbeat=1, heartbeat_timeout=1)
    nginx = make_nginx("wspushd.conf", in_front_of(server))
    client = connect(server, nginx, user)
    client.auto_pong = False
    client.expect_close(4009, timeout=20 * SLACK)


def test_a_reload_of_nginx_closes_no_connection(server, make_nginx, user):
    nginx = make_nginx("wspushd.conf", in_front_of(server))
    old = connect(server, nginx, user)
    workers = nginx.reload()
    fresh = connect(server, nginx, user)
    for turn in range(3):
        assert server.push(user, 110, data=turn) == 1
        assert old.recv_message().json() == fresh.recv_message().json() == turn
    old.send_message(100, b"still")
    assert old.recv_message().bytes() == b"still"
    assert any(map(alive, workers)), "the old worker stays for its clients"
    old.close()
    wait_for(lambda: not any(map(alive, workers)), "the old workers to end with them")
    fresh.expect_silence()


def test_refusals_pass(server, make_nginx):
    nginx = make_nginx("wspushd.conf", in_front_of(server))
    client = server.raw(address=nginx.address)
    client.send_upgrade(path="/serv/ws")
    response = client.recv_response()
    assert (response.status, response.json()["error"]) == (401, "unauthorized")
    client = server.raw(address=nginx.address)
    client.send_bytes(b"GET /serv/ws?user=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.recv_response().status == 426


def test_a_browser_of_the_same_origin_passes_and_another_does_not(server, make_nginx, user):
    nginx = make_nginx("wspushd.conf", in_front_of(server))
    host = f"app.example.org:{nginx.port}"
    client = connect(server, nginx, user, host=host, extra=[("Origin", "http://" + host)])
    client.expect_silence()
    client = server.raw(address=nginx.address)
    client.send_upgrade(user, path="/serv/ws", host=host, extra=[("Origin", "http://evil.example")])
    assert client.recv_response().status == 403


def test_without_wspushd_the_client_is_told_within_the_connect_timeout(server, make_nginx):
    port = free_port()
    nginx = make_nginx("wspushd.conf", {"server 127.0.0.1:8080;": f"server 127.0.0.1:{port};"})
    began = time.monotonic()
    client = server.raw(address=nginx.address)
    client.send_upgrade("1", path="/serv/ws")
    assert client.recv_response().status == 502
    assert time.monotonic() - began < 3.5
    nginx.complaints = lambda: []  # that it says so is right


class Upstream:
    """Stands where wspushd or the application would: keeps the heads, answers as told."""

    def __init__(self, answer):
        self.answer = answer
        self.heads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(65536)
            self.heads.append(head.decode())
            sock.sendall(self.answer(head.decode()).encode())
            if not self.answer(head.decode()).startswith("HTTP/1.1 101"):
                sock.close()

    def headers(self, name):
        return re.findall(rf"^{name}: ?(.*)\r$", self.heads[-1], re.M | re.I)

    def close(self):
        self._listener.close()


@pytest.fixture
def upstream():
    made = []

    def make(answer):
        made.append(Upstream(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


def accepts(_head):
    return ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_of(KEY)}\r\n\r\n")


FORGED = [("X-Auth-User", "admin"), ("x-auth-user", "root"), ("X-Forwarded-For", "6.6.6.6"),
          ("Cookie", "sid=abc; token=x.y.z"), ("Authorization", "Bearer x.y.z")]


def test_login_and_address_are_passed_and_the_forged_name_is_not(server, make_nginx, upstream):
    wspushd = upstream(accepts)
    nginx = make_nginx("wspushd.conf", {"127.0.0.1:8080;": f"127.0.0.1:{wspushd.port};"})
    client = server.raw(address=nginx.address)
    client.send_bytes(upgrade_head("/serv/ws?user=7", host="app.example.org:8", extra=FORGED))
    client.expect_upgrade()
    assert wspushd.heads[-1].startswith("GET /ws?user=7 HTTP/1.1\r\n")
    assert wspushd.headers("Host") == ["app.example.org:8"]
    assert wspushd.headers("Cookie") == ["sid=abc; token=x.y.z"]
    assert wspushd.headers("Authorization") == ["Bearer x.y.z"]
    # The client's own claim comes first and nginx's last: only the last counts.
    assert wspushd.headers("X-Forwarded-For") == ["6.6.6.6, 127.0.0.1"]
    assert wspushd.headers("X-Auth-User") == []


def answer(status, *headers):
    """Builds the application's answer to nginx's auth_request."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "Connection: close",
                        "", ""])


def auth_request(make_nginx, wspushd_port, application, **further):
    return make_nginx("wspushd-auth-request.conf",
                      {"127.0.0.1:8080;": f"127.0.0.1:{wspushd_port};",
                       "127.0.0.1:8000;": f"127.0.0.1:{application.port};", **further})


def test_auth_request_sets_the_user_that_the_application_names(server, make_nginx, upstream):
    wspushd = upstream(accepts)
    application = upstream(lambda head: answer("200 OK", "X-Auth-User: 42"))
    nginx = auth_request(make_nginx, wspushd.port, application)
    client = server.raw(address=nginx.address)
    client.send_bytes(upgrade_head("/serv/ws", extra=FORGED))
    client.expect_upgrade()
    assert wspushd.headers("X-Auth-User") == ["42"]
    assert application.heads[-1].startswith("GET /auth HTTP/1.0\r\n")
    assert application.headers("Cookie") == ["sid=abc; token=x.y.z"]
    assert application.headers("X-Original-URI") == ["/serv/ws"]


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_auth_request_refuses_whom_the_application_refuses(server, make_nginx, upstream, status):
    wspushd = upstream(accepts)
    application = upstream(lambda head: answer(status, "X-Auth-User: 42"))
    nginx = auth_request(make_nginx, wspushd.port, application)
    client = server.raw(address=nginx.address)
    client.send_bytes(upgrade_head("/serv/ws", extra=FORGED))
    assert client.recv_response().status == int(status[:3])
    assert wspushd.heads == []
    assert can_connect(nginx.address)


# auth_request before wspushd itself, with auth = {"header"}. nginx connects from a separate address,
# so that only it is trusted, and not the clients, which come from 127.0.0.1.

PROXY = "127.0.0.2"


@pytest.fixture
def guarded(make_server, make_nginx, upstream):
    """Returns (wspushd, nginx in front of it, the application). The cookie sid=<user> is a valid login."""
    def who(head):
        user = re.search(r"^Cookie: sid=(.+)\r$", head, re.M)
        return answer("200 OK", f"X-Auth-User: {user[1]}") if user else answer("401 Unauthorized")

    server, application = make_server(auth=["header"], trusted_proxies=[PROXY + "/32"]), upstream(who)
    site = {"proxy_pass http://wspushd/;": f"proxy_pass http://wspushd/; proxy_bind {PROXY};"}
    return server, auth_request(make_nginx, server.address[1], application, **site), application


def test_whom_the_application_names_is_let_in(guarded, user):
    server, nginx, _ = guarded
    client = admit(server, sid(user), user, target="/serv/ws", address=nginx.address)
    assert server.push(user, 110, text="hi") == 1
    assert client.recv_message().bytes() == b"hi"
    assert server.admin.user(user)[0]["address"] == "127.0.0.1"


def refusal(server, nginx, headers):
    """The answer to a request through nginx, which keeps the connection for the next."""
    return ask(server, headers, "/serv/ws", address=nginx.address).recv_response()


@pytest.mark.parametrize("name", ["X-Auth-User", "x-auth-user", "X-AUTH-USER", "X_Auth_User"])
def test_name_forged_outside_is_overwritten(guarded, user, name):
    server, nginx, _ = guarded
    forged = [(name, "admin"), *sid(user), (name, "admin")]
    admit(server, forged, user, target="/serv/ws", address=nginx.address)
    assert server.admin.user("admin") == []


def test_name_forged_outside_is_worth_nothing_by_itself(guarded):
    """Not when the application refuses; not when it agrees without a name; not past nginx."""
    server, nginx, application = guarded
    forged = [("X-Auth-User", "admin"), ("X-Forwarded-For", PROXY)]
    assert refusal(server, nginx, forged).status == 401
    assert server.admin.counter("connections_accepted_total") == 0, "nginx has not asked wspushd"
    application.answer = lambda head: answer("200 OK")
    assert "the header is missing" in refusal(server, nginx, forged).json()["message"]
    refuse(server, forged, says="does not come from a trusted proxy")
    server.wait_connections(0)


def test_site_without_auth_request_takes_the_name_away(make_server, make_nginx):
    """wspushd.conf: users who log in by cookie cannot choose a name, even if `header` is on, too."""
    server = make_server(auth=["header"])
    nginx = make_nginx("wspushd.conf", in_front_of(server))
    forged = [("X-Auth-User", "admin")]
    assert "the header is missing" in refusal(server, nginx, forged).json()["message"]
    admit(server, forged, "admin")  # as from nginx itself: it is the site file that protects
