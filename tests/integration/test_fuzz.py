"""A fuzzer against the running server: harness/fuzz.py. Despite hostile input, no client gets another
user's push, honest users miss nothing, no worker dies, and the strangers leave no state behind.

    FUZZ_SECONDS=3600 FUZZ_SEED=42 pytest -s tests/integration/test_fuzz.py
"""

import os
import random
import time

from harness.fuzz import HONEST, OWN_TOPICS, TOPICS, Fuzzer, Honest
from harness.inspect import inspect
from harness.server import opcode
from harness.wait import SANITIZED, wait_for
from test_chaos import is_wanted, subscriptions

import pytest

SECONDS = int(os.environ.get("FUZZ_SECONDS", 60 if SANITIZED else 15))
SEED = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))

CONFIG = {
    "workers": 2, "topics": TOPICS, "console": True, "auth": ["session", "none"], "max_message": 4096,
    "queue_limit": 65536, "max_devices": 3, "device_policy": "replace", "handshake_timeout": 3, "auth_timeout": 1, "heartbeat": 5,
    "heartbeat_timeout": 5, "opcodes": [
        opcode(100, to="echo"), opcode(110, to="stream:fuzz", payload="json", rate=50), opcode(111, to="channel:fuzz", payload="utf8"),
        opcode(112, to="list:fuzz", max=20), opcode(113, to="drop")],
}


@pytest.mark.timeout(SECONDS + 120)
def test_strangers_harm_nobody(make_server, own_redis):
    server = make_server(redis_server=own_redis().start(), **CONFIG)
    fuzzer = Fuzzer(server, random.Random(SEED))
    honest = Honest(server, fuzzer.counts)
    print(f"seed {SEED}, {SECONDS} s")
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for _ in range(50):
            fuzzer.step()
        fuzzer.read_all()
        honest.read()
    print(dict(sorted(fuzzer.counts.items())))
    fuzzer.close()
    server.wait_connections(len(HONEST))
    honest.read()
    check_nothing_is_left(server)


def check_nothing_is_left(server):
    """Records, memberships and subscriptions are those of the honest users."""
    topics = [f"user:{user}:{name}" for user in HONEST for name in OWN_TOPICS]
    wanted = {"all", "users", *(f"user:{user}" for user in HONEST), *(f"topic:{topic}" for topic in topics)}
    wait_for(lambda: server.admin.counter("topic_members") == len(topics), "the strangers' memberships to end")
    wait_for(lambda: set(filter(is_wanted, subscriptions(server))) == wanted, "the strangers' subscriptions to end")
    seen = inspect(server)
    assert seen["faults"] == [], seen
