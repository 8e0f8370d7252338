"""The link for commands falls silent: the server notices in bounded time, answers every pending
request, and reports that it is not ready."""

import threading
import time

import pytest

from harness.client import ACCEPTED, ERROR
from harness.redis_proxy import RedisProxy
from harness.server import opcode
from harness.wait import SLACK, wait_for

from test_admin_post import post

DETECTED = 17
"""Seconds in which a link that has fallen silent is given up."""


@pytest.fixture
def make_node(make_server, own_redis):
    """make_node(...) starts a server behind a proxy to a private Redis."""
    proxies = []

    def make(**config):
        proxies.append(RedisProxy(own_redis().start()))
        server = make_server(redis_server=proxies[-1], workers=2, auth=["session", "none"],
                             opcodes=[opcode(110, to="stream:requests")], **config)
        server.expect_log("redis_commands_down|session")
        wait_for(server.admin.ready, "/readyz 200")
        return server, proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


def test_a_silent_command_link_is_noticed_and_made_again(make_node):
    """Of the clients' requests each is answered, and those that come later are stored."""
    server, proxy = make_node()
    clients = [server.client(f"u{n}") for n in range(6)]
    assert proxy.silence_commands() == 2
    began = time.monotonic()
    for client in clients:
        client.send_message(110, b"lost")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        post(server, "/api/push", {"user": "u0", "op": 111})))
    thread.start()
    for client in clients:
        message = client.recv_message(timeout=DETECTED * SLACK)
        assert message.op == ERROR and message.json()["code"] == "unavailable", message
    assert time.monotonic() - began < DETECTED * SLACK
    thread.join()
    assert answers[0].status in (503, 504)
    for client in clients:
        def stored(client=client):
            client.send_message(110, b"kept")
            return client.recv_message().op == ACCEPTED
        wait_for(stored, "a request to be stored")
    wait_for(server.admin.ready, "/readyz 200")
    assert "has not answered" in server.log()


def test_a_silent_command_link_that_cannot_be_made_again_is_not_ready(make_node):
    """Nothing is asked of it: the workers find out by themselves, each for its own. Connections are
    accepted, and never answered; the link for pushes is up all the time."""
    server, proxy = make_node()
    proxy.silence_commands(mute_new=True)
    began = time.monotonic()
    wait_for(lambda: not server.admin.ready(), "/readyz 503", timeout=DETECTED * SLACK)
    wait_for(lambda: server.admin.stats()["redis_command_links_up"] == 0, "both to be given up",
             timeout=DETECTED * SLACK)
    assert time.monotonic() - began < 2 * DETECTED * SLACK
    answer = server.admin.get("/readyz").json()
    assert answer["why"] in ("redis command link down", "no probe came through")
    assert server.admin.stats()["redis_links_up"] == 2
    client = server.client("u")
    client.send_message(110, b"x")
    message = client.recv_message()
    assert message.op == ERROR and message.json()["code"] == "unavailable"
    assert server.push("u", 112) == 1
    assert client.recv_message().op == 112
    proxy.mute_new = False
    wait_for(server.admin.ready, "/readyz 200", timeout=12 * SLACK)
