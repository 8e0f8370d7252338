"""GAP: every client that may have missed a push is told, once per outage, and never too early."""

import json

import pytest

from harness.client import GAP, SUB, SUBBED
from harness.wait import SLACK, wait_for

WORKERS = 3
RECONNECT = 30 * SLACK
USERS = [f"u{n}" for n in range(12)]
TOPICS = [f"t{n}" for n in range(12)]
"""So many that every worker is the home of some of both."""


@pytest.fixture
def node(make_server, own_redis):
    server = make_server(workers=WORKERS, topics=["*"], redis_server=own_redis().start())
    server.expect_log(r"(?i)redis|link")
    return server


def connect(server, topics=TOPICS):
    clients = [server.client(user) for user in USERS]
    assert {server.admin.user(user)[0]["worker"] for user in USERS} == set(range(WORKERS))
    for client in clients if topics else []:
        client.send_message(SUB, json.dumps({"topics": topics}).encode())
        assert client.recv_message(timeout=RECONNECT).op == SUBBED
    return clients


def links(server):
    return [worker["link"] for worker in server.admin.workers()]


def outage(server):
    """Redis is away until each worker has noticed, and comes back."""
    server.redis.kill()
    wait_for(lambda: "up" not in links(server), "every link to be down")
    server.redis.start()


def kill_link(server, *workers):
    """Redis cuts the workers' links."""
    names = {entry["name"]: entry["id"] for entry in server.redis.client.client_list()}
    boot = next(name for name in names if name.startswith("wspushd-")).split("-")[1]
    for worker in workers:
        server.redis.client.client_kill_filter(_id=names[f"wspushd-{boot}-{worker}"])


def cut_link(server, worker):
    """Cuts one worker's link and waits until it is up again."""
    kill_link(server, worker)
    wait_for(lambda: server.admin.counter("redis_connects_total") == WORKERS + 1 and
             links(server) == ["up"] * WORKERS, "the link to be up again", RECONNECT)


def gaps_before_pushes(server, clients, topics=TOPICS):
    """How many GAPs each client gets before its pushes, which all come."""
    wait_for(server.admin.ready, "/readyz 200", RECONNECT)
    for user in USERS:
        assert server.push(user, 110, data=user) == 1
    for topic in topics:
        assert server.publish("topic:" + topic, {"op": 111, "data": topic}) == 1
    assert server.publish("all", {"op": 112}) == 1
    return [gaps(client, 2 + len(topics)) for client in clients]


def gaps(client, pushes):
    count = 0
    while pushes:
        message = client.recv_message(timeout=RECONNECT)
        count += message.op == GAP
        pushes -= message.op != GAP
    return count


@pytest.mark.parametrize("topics", [TOPICS, []], ids=["topics", "no topics"])
def test_an_outage_of_redis_is_one_gap(node, topics):
    clients = connect(node, topics)
    for _ in range(2):
        outage(node)
        assert gaps_before_pushes(node, clients, topics) == [1] * len(clients)


@pytest.mark.parametrize("worker", range(WORKERS))
def test_one_link_cut_is_one_gap_for_whom_it_concerns(node, worker):
    """Worker 0 has the node's own channels, so its failure concerns every client; all clients are in
    topics of each worker."""
    members = connect(node)
    cut_link(node, worker)
    assert gaps_before_pushes(node, members) == [1] * len(members)


@pytest.mark.parametrize("worker", range(WORKERS))
def test_one_link_cut_is_no_gap_for_whom_it_does_not_concern(node, worker):
    clients = connect(node, [])
    cut_link(node, worker)
    homes = [node.admin.user(user)[0]["worker"] for user in USERS]
    assert gaps_before_pushes(node, clients, []) == [int(worker in (0, home)) for home in homes]


def test_a_gap_outlives_the_workers_that_owe_it(node):
    """They die while Redis is away; what was missed before is told by their successors."""
    clients = connect(node)
    node.workers_may_change = True
    node.redis.kill()
    wait_for(lambda: "up" not in links(node), "every link to be down")
    node.kill_workers()
    node.redis.start()
    assert all(count >= 1 for count in gaps_before_pushes(node, clients))


def test_who_is_back_does_not_wait_for_ever_for_who_stays_away(node):
    """Redis accepts only one of two links again. Clients whose pushes arrive again get
    GAP soon; members of the other link's topics get the rest when that link is back, too."""
    clients = connect(node)
    kill = node.redis.client
    kill.config_set("maxclients", len(kill.client_list()) - 1)
    kill_link(node, 1, 2)
    wait_for(lambda: node.log().count("event=redis_link_down") >= 2, "both to notice")
    wait_for(lambda: sorted(links(node)[1:]) in (["connecting", "up"], ["down", "up"],
                                                 ["subscribing", "up"]), "one to be back")
    back = links(node).index("up", 1)
    at_home = [c for c, user in zip(clients, USERS)
               if node.admin.user(user)[0]["worker"] == back]
    others = [client for client in clients if client not in at_home]
    for client in at_home:
        assert client.recv_message(timeout=RECONNECT).op == GAP
    for client in others:
        client.expect_silence()
    assert links(node)[3 - back] != "up", "it was told before the other came back"
    kill.config_set("maxclients", 10000)
    counts = gaps_before_pushes(node, clients)
    assert counts == [1] * len(clients), "clients that were told of one link before are told of the other now"


def test_whatever_is_pushed_upon_a_gap_arrives(node):
    """It does not come before every way is whole: at once upon each client's GAP, its topics are."""
    clients = connect(node)
    outage(node)
    for number, client in enumerate(clients):
        while client.recv_message(timeout=RECONNECT).op != GAP:
            pass  # another worker's clients may have had theirs a moment earlier
        for topic in TOPICS:
            assert node.publish("topic:" + topic, {"op": 111, "data": number}) == 1
        got = 0
        while got < len(TOPICS):
            message = client.recv_message()
            got += message.op == 111 and message.json() == number
