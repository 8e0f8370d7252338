/*
 * What concerns the node as a whole: its own channels, and the probe of /readyz.
 *
 * One worker is the node's home. While any worker has a user, it subscribes push:all, push:users
 * and push:ctl, so that each such push comes to the node once and PUBLISH counts only nodes with a
 * recipient. Workers tell it by state, not by messages, so that a death in between loses nothing:
 * `present` in each slot is written by that worker, `node_state` by the node's home. Each
 * changes its word and then looks at the other's, with a full barrier between.
 */
#ifndef WSPUSHD_WORKER_NODE_H
#define WSPUSHD_WORKER_NODE_H

#include "worker/worker.h"

/* Whether the node's channels are subscribed and confirmed. */
bool node_ready(const struct worker *worker);

/* Asks for the node's channels on a new socket: part of subscriptions_all. */
void node_subscribe(struct worker *worker);

/* A batch is confirmed: perhaps the node's channels with it. */
void node_confirmed(struct worker *worker);

/* End of a turn: notices users that came first or left last, and what there is to tell of (gap.h).
 */
void node_turn(struct worker *worker);

/* Once a second: sends the probe when it is time. */
void node_tick(struct worker *worker);

/* The way to Redis has just become whole: the node's home probes it at once. */
void node_probe(struct worker *worker);

/* Whether the whole node can serve: every worker's link is up and a probe came by lately. */
bool node_serves(const struct worker *worker, const char **why);

/* After a death: takes up what the slots say. */
void node_recover(struct worker *worker);

#endif
