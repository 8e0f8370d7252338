/*
 * The node as a whole: its own channels, and the probe of /readyz.
 *
 * One worker is the node's home. While any worker has a user, the node's home subscribes to
 * push:all, push:users and push:ctl, so that each such push reaches the node once and the reply to
 * PUBLISH counts only nodes with a recipient. Workers inform it by state and not by messages, so
 * that a death loses nothing: each worker writes `present` in its slot, the node's home writes
 * `node_state`. Each side stores its own word, issues a full barrier, and then reads the other's.
 */
#ifndef WSPUSHD_WORKER_NODE_H
#define WSPUSHD_WORKER_NODE_H

#include "worker/worker.h"

/* True if the node's channels are subscribed and confirmed. */
bool node_ready(const struct worker *worker);

/* Subscribes to the node's channels on a new socket: part of subscriptions_all. */
void node_subscribe(struct worker *worker);

/* Call when a batch is confirmed, which may complete the node's channels. */
void node_confirmed(struct worker *worker);

/* Notices the first user that came and the last that left, and gaps that clients must be told of
 * (gap.h). Call it at the end of each turn. */
void node_turn(struct worker *worker);

/* Sends the probe when it is due. Call it once a second. */
void node_tick(struct worker *worker);

/* Makes the node's home send a probe at once: the connections to Redis have just become
 * complete. */
void node_probe(struct worker *worker);

/* True if the whole node can serve: every worker's link is up and a probe has arrived recently. If
 * not, *why is the reason. */
bool node_serves(const struct worker *worker, const char **why);

/* Restores this worker's view from the slots after a death. */
void node_recover(struct worker *worker);

#endif
