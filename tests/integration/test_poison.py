"""A message or connection that kills two workers in a row is set aside, and nothing else."""

import os
import re
import signal

import pytest

from harness import admin
from harness.client import GAP, PING, PONG, SUBBED, Closed
from harness.process import alive
from harness.scribble import write_over
from harness.wait import wait_for
from test_last_words import deaths, doomed  # noqa: F401
from test_topics import join


def reason(server, family):
    return server.admin.stats()["counters"][family]["poison"]


def logged(server, kind):
    return re.findall(rf"event=poison kind={kind} .*begins=(\w*)", server.log())


def wait_deaths(server, count):
    wait_for(lambda: len(deaths(server)) >= count, f"{count} deaths")
    wait_for(server.admin.ready, "/readyz 200")


def stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def pushes(client, until):
    """Payloads of the pushes up to the last one wanted."""
    got = []
    while not got or got[-1] != until:
        message = client.recv_message()
        assert message.op != GAP, "the link outlives its workers"
        if message.op != SUBBED: # may come twice when a worker dies
            got.append(message.payload)
    return got


@pytest.mark.parametrize("bug", ["abort", "segv", "overflow", "exit", "flush"])
def test_push_that_kills_two_workers_is_skipped(doomed, bug):
    server = doomed()
    client = server.client("u")
    poison = b"\0\0\0\x6efault:" + bug.encode()
    server.redis.publish_many([(server.channel("user:u"), b"\0\0\0\x6ebefore"),
                               (server.channel("user:u"), poison),
                               (server.channel("user:u"), b"\0\0\0\x6eafter")])
    assert list(dict.fromkeys(pushes(client, b"after"))) == [b"before", b"after"]
    expected = 3 if bug == "flush" else 2 # the first death does not tell which frame it was
    assert len(deaths(server)) <= expected
    assert reason(server, admin.DROPPED) == 1
    assert poison.hex() in logged(server, "push")[0]
    server.push("u", 110, text="on")
    assert pushes(client, b"on")
    client.expect_silence()
    assert len(deaths(server)) <= expected


def test_poison_among_many_is_found(doomed):
    server = doomed()
    client = server.client("u")
    wanted = [b"%d" % n for n in range(300)]
    batch = [(server.channel("user:u"), b"\0\0\0\x6e" + text) for text in wanted]
    for at, bug in ((250, b"flush"), (120, b"segv"), (20, b"flush")):
        batch.insert(at, (server.channel("user:u"), b"\0\0\0\x6efault:" + bug))
    server.redis.publish_many(batch)
    assert list(dict.fromkeys(pushes(client, b"299"))) == wanted
    assert reason(server, admin.DROPPED) == 3


def test_push_that_makes_two_workers_hang_is_skipped(doomed):
    server = doomed(watchdog=1)
    client = server.client("u")
    server.push("u", 110, text="fault:spin")
    server.push("u", 110, text="after")
    assert pushes(client, b"after") == [b"after"]
    assert len(deaths(server)) == 2
    assert reason(server, admin.DROPPED) == 1


def test_ring_entry_that_kills_its_reader_is_skipped(doomed):
    """The topic's home has no member, so the reader of its ring is the first to unpack the push."""
    server = doomed(workers=3, topics=["*"])
    clients = [server.client(f"u{n}") for n in range(12)]
    topics = [next(topic for topic in (f"t{n}.{k}" for k in range(100))
                   if server.home_of("topic:" + topic) != server.home_of(f"user:u{n}"))
              for n in range(len(clients))]
    for client, topic in zip(clients, topics):
        join(client, topic)
    for topic in topics:
        server.publish("topic:" + topic, {"op": 110, "text": "fault:abort"})
    for topic in topics:
        server.publish("topic:" + topic, {"op": 110, "text": "after"})
    for client in clients:
        assert pushes(client, b"after") == [b"after"]
    assert reason(server, admin.DROPPED) == len(clients)
    assert len(logged(server, "ring")) == len(clients) and not logged(server, "push")


def test_message_that_kills_two_workers_is_refused(doomed):
    server = doomed()
    bystander = server.client("other")
    codes = []
    for _ in range(4):
        client = server.client("u")
        client.send_message(PING, b"fault:abort, for example")
        with pytest.raises(Closed) as closed:
            client.recv_message()
        codes.append(closed.value.code)
        wait_for(server.admin.ready, "/readyz 200")
    assert codes == [1012, 1011, 1011, 1011]
    assert len(deaths(server)) == 2, "the third is closed before it is read"
    assert reason(server, admin.CLOSED) == 3
    assert b"fault:abort".hex() in logged(server, "message")[0]
    bystander.send_message(PING, b"fault:abort")   # another message: a death is a death
    wait_deaths(server, 3)
    fresh = server.client("u")
    fresh.send_message(PING, b"fault: none")
    assert fresh.recv_message()[:2] == (PONG, b"fault: none")


def test_two_different_messages_are_not_one(doomed):
    server = doomed()
    for number, text in enumerate((b"fault:abort 1", b"fault:abort 2")):
        client = server.client("u")
        client.send_message(PING, text)
        with pytest.raises(Closed) as closed:
            client.recv_message()
        assert closed.value.code == 1012
        wait_deaths(server, number + 1)
    assert reason(server, admin.CLOSED) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_kill_from_outside_makes_nothing_poison(doomed, number):
    """Killed again and again in the midst of a push to many: its successor does it, however often."""
    server = doomed()
    clients = [server.client(f"u{n}") for n in range(50)]
    total = 17
    for turn in range(6):
        old = server.admin.workers()[0]
        server.redis.publish_many((server.channel("all"), b"\0\0\0\x6e%d" % (total * turn + n))
                                  for n in range(total))
        os.kill(old["pid"], number)
        server.wait_replaced(old)
    last = b"%d" % (6 * total - 1)
    for client in clients:
        got = list(dict.fromkeys(pushes(client, last)))
        assert got == [b"%d" % n for n in range(6 * total)]
    assert reason(server, admin.DROPPED) == 0 and reason(server, admin.CLOSED) == 0
    assert "event=poison" not in server.log()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_push_in_hand_at_every_kill_from_outside_is_no_poison(doomed, number):
    """It stops its worker, and so it is in hand whenever that is killed."""
    server = doomed(watchdog=60)
    client = server.client("u")
    assert server.publish("user:u", b"\0\0\0\x6efault:stop") == 1
    for _ in range(4):
        pid = wait_for(lambda: [pid for pid in server.worker_pids() if stopped(pid)], "the stop")[0]
        os.kill(pid, number)
        if number != signal.SIGKILL:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda pid=pid: not alive(pid), "its death")
    pid = wait_for(lambda: [pid for pid in server.worker_pids() if stopped(pid)], "the stop")[0]
    os.kill(pid, signal.SIGCONT)
    assert pushes(client, b"fault:stop") == [b"fault:stop"]
    assert reason(server, admin.DROPPED) == 0 and "event=poison" not in server.log()
    assert {words["position"] for words in deaths(server)} == {deaths(server)[0]["position"]}


def test_kill_from_outside_between_two_deaths_does_not_save_poison(doomed):
    server = doomed()
    client = server.client("u")
    server.push("u", 110, text="fault:abort")
    wait_for(lambda: len(deaths(server)) >= 2, "two deaths")
    for _ in range(2):
        wait_for(server.admin.ready, "/readyz 200")
        old = server.admin.workers()[0]
        os.kill(old["pid"], signal.SIGKILL)
        server.wait_replaced(old)
    server.push("u", 110, text="after")
    assert pushes(client, b"after") == [b"after"]
    assert reason(server, admin.DROPPED) == 1


# Crash loops.

def test_index_that_kills_a_worker_is_rebuilt_by_its_successor(doomed):
    """No push is at fault, and none is skipped."""
    server = doomed()
    clients = {f"u{n}": server.client(f"u{n}") for n in range(20)}
    write_over(server, "HEADS", (0, b"\xff\xff\xff\x7f" * 64))
    for user in clients:
        server.push(user, 110, text="on")
    for client in clients.values():
        assert pushes(client, b"on") == [b"on"]
    assert len(deaths(server)) == 1
    assert reason(server, admin.DROPPED) == 0


def test_crash_loop_waits_and_is_told_and_loses_few_pushes(doomed):
    """Each of them kills two workers. One more than may be skipped at once is skipped later."""
    server = doomed(workers=2)
    user = next(f"u{n}" for n in range(100) if server.home_of(f"user:u{n}") == 1)
    client, _ = server.client(user), server.client("other")
    total = 17
    server.redis.publish_many((server.channel("user:" + user), b"\0\0\0\x6efault:abort %d" % n)
                              for n in range(total))
    wait_for(lambda: "event=poison_limit" in server.log(), "the limit", interval=0.05)
    assert len(logged(server, "push")) == 16
    response = server.admin.get("/readyz")
    assert response.status == 503 and b"a worker keeps dying" in response.body
    waits = [int(ms) for ms in re.findall(r"event=worker_backoff worker=1 ms=(\d+)", server.log())]
    assert waits == sorted(waits) and waits[-1] >= 640
    assert server.admin.user("other"), "the other worker serves"
    server.push(user, 110, text="on")
    assert pushes(client, b"on") == [b"on"]
    assert reason(server, admin.DROPPED) == total
