"""bench/peers: the floor peer, the baseline for wspushd's cost, and the check that every peer must pass.

The other peers need Go, npm and nchan; `scripts/bench.sh --check` checks all of them.
"""

import asyncio
import json
import os
import signal
import subprocess

import pytest
import websockets

from harness.bench import make_peers
from harness.net import free_port
from harness.process import die_with_us
from harness.wait import BUILD, ROOT, TIMEOUT

PEERS = ROOT / "bench/peers"


@pytest.fixture
def floor(redis):
    """The port of a running floor."""
    port = free_port()
    process = subprocess.Popen([PEERS / "floor/run", str(port), str(redis.port)],
                               stdout=subprocess.PIPE, preexec_fn=die_with_us)
    assert process.stdout.readline() == b"READY\n"
    yield port
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == -signal.SIGTERM, "it had not ended before"
    process.stdout.close()


def connect(port, user):
    """close_timeout: floor answers no close frame, so the client closes by itself."""
    return websockets.connect(f"ws://127.0.0.1:{port}/ws?user={user}", compression=None,
                              max_size=None, ping_interval=None, close_timeout=0.02)


async def next_of(client):
    return await asyncio.wait_for(client.recv(), TIMEOUT)


def test_a_push_reaches_its_user_alone_and_all_everybody(floor, redis):
    async def talk():
        async with connect(floor, 1) as one, connect(floor, 2) as two, connect(floor, 12) as twelve:
            clients = {1: one, 2: two, 12: twelve}
            for user in clients:
                redis.client.publish(f"push:user:{user}", f"for {user}")
            redis.client.publish("push:user:3", "for nobody")
            redis.client.publish("push:all", "for all")
            for user, client in clients.items():
                assert [await next_of(client), await next_of(client)] == [f"for {user}", "for all"]
    asyncio.run(talk())


def test_payloads_of_every_length_of_header(floor, redis):
    sizes = [0, 1, 125, 126, 127, 65535, 65536, 300_000]

    async def talk():
        async with connect(floor, 7) as client:
            pipeline = redis.client.pipeline(transaction=False)
            for size in sizes:      # in one piece, so that replies end within reads
                pipeline.publish("push:user:7", "x" * size)
            pipeline.execute()
            assert [len(await next_of(client)) for _ in sizes] == sizes
    asyncio.run(talk())


def test_who_has_gone_is_forgotten_and_may_come_back(floor, redis):
    async def talk():
        async with connect(floor, 5):
            pass
        async with connect(floor, 6) as other:     # may have the descriptor of the one who left
            redis.client.publish("push:user:5", "for nobody")
            redis.client.publish("push:user:6", "then")
            assert await next_of(other) == "then", "messages without a recipient have passed"
            async with connect(floor, 5) as again:
                redis.client.publish("push:user:5", "back")
                redis.client.publish("push:all", "end")
                assert [await next_of(again), await next_of(again)] == ["back", "end"]
                assert await next_of(other) == "end"
    asyncio.run(talk())


def check(peers, name):
    env = {**os.environ, "BENCH_PEERS": str(peers), "WSPUSHD_BUILD": str(BUILD.absolute())}
    return subprocess.run([ROOT / "scripts/bench.sh", "--check", "--against", name], env=env,
                          text=True, capture_output=True, timeout=TIMEOUT * 3, cwd="/")


@pytest.mark.timeout(120)
def test_the_check_passes_floor():
    done = check(PEERS, "floor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["ok", "floor"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault, to, figure", [
    ("twice", "[user, user]", "doubled"),
    ("to another", "[str((int(user) + 1) % 20)]", "lost"),
])
def test_the_check_fails(tmp_path, fault, to, figure):
    done = check(make_peers(tmp_path, to), "floor")
    assert done.returncode == 1, fault
    assert done.stdout.startswith("FAILED") and figure in done.stdout
    assert "floor: not to be measured" in done.stderr


def test_lock_files_name_no_registry():
    """npm ci takes the registry that npm is set to."""
    for file in PEERS.glob("*/package-lock.json"):
        packages = json.loads(file.read_text())["packages"]
        assert not [name for name, package in packages.items() if "resolved" in package]
        assert all("integrity" in package for name, package in packages.items() if name)
