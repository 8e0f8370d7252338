"""Fixtures. `server` is shared and checked after each test; `make_server` starts a server for one test."""

import itertools
import json

import pytest

from harness.backend import Backend
from harness.login import Keys
from harness.nginx import Nginx
from harness.redis_server import RedisServer
from harness.server import Server, opcode

OPCODES = [
    opcode(100, name="echo", to="echo"),
    opcode(101, name="drop", to="drop"),
    opcode(102, name="echo-json", to="echo", payload="json"),
    opcode(103, name="echo-utf8", to="echo", payload="utf8"),
    opcode(104, name="echo-short", to="echo", max=16),
    opcode(105, name="echo-limited", to="echo", rate=5),
    opcode(110, name="add-friend", to="echo", payload="utf8"),
]
"""The opcode sections of the shared server."""

_users = itertools.count(1)


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    """The Redis that tests share unless they disturb it."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path_factory):
    """own_redis(password=...) makes a Redis for one test, not started."""
    made = []

    def make(**kwargs):
        made.append(RedisServer(tmp_path_factory.mktemp("redis"), **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def user():
    """A user name that no other test uses."""
    return f"user-{next(_users)}"


@pytest.fixture(scope="session")
def _shared(redis, tmp_path_factory):
    """The shared server, started on first use and restarted after a test broke it."""
    running = []

    def get():
        if not running:
            running.append(Server(tmp_path_factory.mktemp("shared"), redis, opcodes=OPCODES,
                                  prefix="push:", node="node-a", heartbeat=60))
            running[0].start()
        return running[0]

    def drop():
        running.pop().destroy()

    yield get, drop
    if running:
        try:
            running[0].stop()
            running[0].check_log()
        finally:
            running[0].destroy()


@pytest.fixture
def server(_shared):
    """The shared server: default channel names, OPCODES, and no connections left from earlier tests."""
    get, drop = _shared
    shared = get()
    Server.used.append(shared)
    try:
        shared.wait_connections(0)
        yield shared
        shared.check()
    except BaseException:
        drop()
        raise


@pytest.fixture
def make_server(redis, tmp_path_factory):
    """make_server(key=value, ...) starts a server with a unique channel prefix.

    Further arguments: redis_server= a RedisServer; opcodes=, arguments= as Server; start=False.
    Each is checked and stopped after the test, unless the test has stopped it (then only its log
    is read).
    """
    made = []

    def make(start=True, ready=True, redis_server=redis, **kwargs):
        new = Server(tmp_path_factory.mktemp("server"), redis_server, **kwargs)
        made.append(new)
        return new.start(ready) if start else new

    yield make
    try:
        for old in reversed(made):
            if old.process and not old.ended:
                old.check()
                old.stop()
            old.check_log()
    finally:
        for old in made:
            old.destroy()


@pytest.fixture
def mortal(make_server):
    """Like make_server, for a server whose workers may be killed."""
    def make(**kwargs):
        server = make_server(**kwargs)
        server.expect_log(r"worker|died|killed|signal")
        server.workers_may_change = True
        return server
    return make


@pytest.fixture
def make_nginx(tmp_path_factory):
    """make_nginx(site, replace) starts an nginx; errors in its log fail the test."""
    made = []

    def make(site, replace):
        made.append(Nginx(tmp_path_factory.mktemp("nginx"), site, replace).start())
        return made[-1]

    yield make
    for one in made:
        one.stop()
    for one in made:
        assert one.complaints() == []


@pytest.fixture
def make_backend():
    """make_backend(redis, name="one") starts examples/backend.py and waits until it consumes."""
    made = []

    def make(redis_server, name="one"):
        made.append(Backend(redis_server.url, name))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Keys for JSON Web Tokens, for every algorithm."""
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def servers(redis, tmp_path_factory):
    """servers(key=value, ...): like make_server, but the tests of a file that use the same
    arguments share a server."""
    made = {}

    def get(**config):
        name = json.dumps(config, sort_keys=True)
        if name not in made:
            made[name] = Server(tmp_path_factory.mktemp("server"), redis, **config).start()
        else:
            Server.used.append(made[name])
        return made[name]

    yield get
    try:
        for old in made.values():
            old.check()
            old.stop()
            old.check_log()
    finally:
        for old in made.values():
            old.destroy()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for used in dict.fromkeys(Server.used):
            tail = "\n".join(used.log().split("\n")[-60:])
            report.sections.append((f"wspushd {used.config['listen']} {used.directory}", tail))
    if call.when == "teardown":
        Server.used.clear()
