/*
 * The channels of this worker's users. A user's first connection subscribes, the last one
 * unsubscribes; what a turn brings together goes to Redis as one command, and behind it a fence:
 * UNSUBSCRIBE of <prefix>batch:<number>, a channel that nobody has subscribed. Redis answers in
 * order, so when it confirms that, all before it stands, and the connections that wait for it get
 * their HELLO. It refuses PING in states in which pub/sub works (MISCONF, LOADING, MASTERDOWN), but
 * no UNSUBSCRIBE; only BUSY refuses all, and then what is not confirmed is sent again.
 *
 * The node's home also subscribes the channels of the whole node, while the node has a user at
 * all: so that the reply of PUBLISH counts nodes that had a recipient (node.c).
 */
#ifndef WSPUSHD_WORKER_SUBSCRIBE_H
#define WSPUSHD_WORKER_SUBSCRIBE_H

#include "worker/worker.h"

#include <stddef.h>

struct subscriptions *subscriptions_new(void);

/* The connection waits for its user's subscription; `first`: nobody has asked for it yet. */
void subscriptions_join(struct worker *worker, struct conn *conn, bool first);

/* The user's last connection is gone. */
void subscriptions_leave(struct worker *worker, const char *user, size_t len);

/* After a death, before anything else is asked of Redis: asks again for the end of subscriptions
 * whose user is gone. A user whose connection is still in the index leaves when that ends. */
void subscriptions_resume_gone(struct worker *worker);

/* A channel of the node: prefix and name are joined. */
void subscriptions_channel(struct worker *worker, const char *name, bool subscribe);

/* A channel of one kind, "user:" or "topic:", that is not this worker's now, but may be soon, or
 * was. */
void subscriptions_other(struct worker *worker, const char *kind, const char *name, size_t len,
                         bool subscribe);

/* A topic whose home this worker is: asks for its channel, or gives it up; topic_confirmed is
 * called when Redis has confirmed that. Returns false where the link is down: then everything will
 * be asked for again when it is back. */
bool subscriptions_topic(struct worker *worker, uint32_t topic, bool subscribe);

/* Whether the link is up and everything asked for before is confirmed or on its way: a confirmed
 * user needs no further wait. */
bool subscriptions_live(const struct worker *worker);

/* A new socket to Redis: asks for everything again. */
void subscriptions_all(struct worker *worker);

/* End of a turn: hands the commands to the link. */
void subscriptions_turn(struct worker *worker);

/* Redis has confirmed a batch: greets the connections that waited for it. */
void subscriptions_confirmed(struct worker *worker, uint64_t batch);

/* After a death: what the connection waits for, if it does, is asked for again. */
void subscriptions_recover(struct worker *worker, struct conn *conn);

/* Asks Redis for an answer, as a sign of life. */
void subscriptions_fence(struct worker *worker);

/* Whether an UNSUBSCRIBE of this channel is a fence, and of which batch. */
bool subscriptions_is_fence(const struct worker *worker, const char *channel, size_t len,
                            uint64_t *batch);

/* Redis has refused a command for now. Returns true if everything that is not confirmed will be
 * sent again; false if this process cannot, and then the link has to be made again. */
bool subscriptions_refused(struct worker *worker);

/* Once a second: sends again what was refused. */
void subscriptions_again(struct worker *worker);

/* A predecessor's link goes on. Returns false if Redis had refused commands that died with it. */
bool subscriptions_taken_up(struct worker *worker);

/* Greets the connections that wait for the channels of the node alone. */
void subscriptions_release(struct worker *worker);

#endif
