/*
 * The channels of this worker's users. A user's first connection subscribes, the last one
 * unsubscribes. The requests of one turn go to Redis as few commands, followed by a fence:
 * UNSUBSCRIBE of <prefix>batch:<number>, a channel that was never subscribed. Redis answers in
 * order, so its reply to the fence confirms everything before it, and the connections that wait for
 * that batch get their HELLO. Unlike PING, UNSUBSCRIBE is not refused in states in which pub/sub
 * works (MISCONF, LOADING, MASTERDOWN). Only BUSY refuses everything; commands that are not
 * confirmed are then sent again.
 *
 * While the node has any user, the node's home also subscribes to the channels of the whole node,
 * so that the reply to PUBLISH counts nodes that had a recipient (node.c).
 */
#ifndef WSPUSHD_WORKER_SUBSCRIBE_H
#define WSPUSHD_WORKER_SUBSCRIBE_H

#include "worker/worker.h"

#include <stddef.h>

/* Returns a new state without requests, or NULL if memory is short. */
struct subscriptions *subscriptions_new(void);

/* Makes the connection wait for its user's subscription. `first`: subscribe, because no other
 * connection of the user has. */
void subscriptions_join(struct worker *worker, struct conn *conn, bool first);

/* Ends a user's subscription, because the last connection is gone. */
void subscriptions_leave(struct worker *worker, const char *user, size_t len);

/* Requests again, after a death and before any other command to Redis, the end of subscriptions
 * whose user is gone. A user whose connection is still in the index is left out: that connection's
 * end does it. */
void subscriptions_resume_gone(struct worker *worker);

/* Subscribes or unsubscribes a channel of the node; the prefix is added. */
void subscriptions_channel(struct worker *worker, const char *name, bool subscribe);

/* Does the same for a channel of one kind, "user:" or "topic:", that is not this worker's at
 * present, but may become or was its own. */
void subscriptions_other(struct worker *worker, const char *kind, const char *name, size_t len,
                         bool subscribe);

/* Subscribes or unsubscribes a topic whose home this worker is; topic_confirmed is called when
 * Redis has confirmed that. Returns false if the link is down: everything is requested again when
 * it is back. */
bool subscriptions_topic(struct worker *worker, uint32_t topic, bool subscribe);

/* True if the link is up and everything requested before is confirmed or on its way: a connection
 * of a confirmed user need not wait. */
bool subscriptions_live(const struct worker *worker);

/* Requests everything again, on a new socket to Redis. */
void subscriptions_all(struct worker *worker);

/* Hands the gathered commands to the link. Call it at the end of each turn. */
void subscriptions_turn(struct worker *worker);

/* Greets the connections that waited for `batch`, which Redis has confirmed. */
void subscriptions_confirmed(struct worker *worker, uint64_t batch);

/* Requests again, after a death, the subscription that the connection waits for, if it does. */
void subscriptions_recover(struct worker *worker, struct conn *conn);

/* Sends a fence at the end of the turn, as a test that Redis answers. */
void subscriptions_fence(struct worker *worker);

/* True if this channel is that of a fence; *batch is then its number. */
bool subscriptions_is_fence(const struct worker *worker, const char *channel, size_t len,
                            uint64_t *batch);

/* Notes that Redis has refused a command for now. Returns true if everything not confirmed will be
 * sent again; false if this process cannot, and the link must be made again. */
bool subscriptions_refused(struct worker *worker);

/* Sends refused commands again. Call it once a second. */
void subscriptions_again(struct worker *worker);

/* Takes over a predecessor's link. Returns false if Redis had refused commands that died with the
 * predecessor. */
bool subscriptions_taken_up(struct worker *worker);

/* Greets the connections that wait only for the channels of the node. */
void subscriptions_release(struct worker *worker);

#endif
