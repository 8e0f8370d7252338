"""Counts Redis's deliveries for a push to a user: one message, whatever the number of workers.

Measured in two ways: PUBSUB NUMSUB and PUBLISH's reply give the number of connections that
subscribe to the channel; and all bytes that Redis wrote are compared with those of one message and
one reply for each PUBLISH.
"""

from stage import RAW

TITLE = "messages that Redis delivers for a push to a user"

PUSHES, ROUND = 10000, 1000
LIMIT = 1


def bulk(data):
    return b"$%d\r\n%b\r\n" % (len(data), data)


def one_message(channel, message):
    return len(b"*3\r\n" + bulk(b"message") + bulk(channel) + bulk(message))


def written(node):
    return node.redis.client.info("stats")["total_net_output_bytes"]


def count(stage, table):
    for workers in (1, 2, 4):
        with stage.node(workers) as node, node:
            count_node(table, node, workers)


def count_node(table, node, workers):
    user = "42"
    clients = node.connect([user])
    start = written(node)
    asking = written(node) - start
    start += asking
    replies = set()
    for _ in range(PUSHES // ROUND):
        replies.update(node.publish([f"user:{user}"], RAW, ROUND))
        node.receive(clients, ROUND)
    bytes_ = written(node) - start - asking - PUSHES * len(b":1\r\n")
    delivered = bytes_ / (PUSHES * one_message(f"push:user:{user}".encode(), RAW))
    subscribed = node.server.subscribers(user)
    table.row(f"{workers} workers" if workers > 1 else "1 worker", LIMIT,
              max(round(delivered, 2), subscribed, *replies), digits=2)
    table.note(f"replies of PUBLISH: {sorted(replies)}; PUBSUB NUMSUB: {subscribed}; by bytes "
               f"written: {delivered:.4f}")
