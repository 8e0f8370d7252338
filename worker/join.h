/*
 * Joining and leaving topics: SUB and UNSUB by clients, `sub` and `unsub` by backends. A membership
 * begins at once; SUBBED is sent when every topic of the SUB is live (topic.h), and for a new
 * connection not before its HELLO. Until then the membership says in shared memory which SUB it is
 * to be answered with, so that a successor answers.
 */
#ifndef WSPUSHD_WORKER_JOIN_H
#define WSPUSHD_WORKER_JOIN_H

#include "proto/message.h"
#include "worker/worker.h"

#include <jansson.h>

struct join *join_new(void);

/* SUB and UNSUB, {"topics":["room:7"]}: who may join what is up to push.conf. */
void join_requested(struct worker *worker, struct conn *conn, const struct message *request);
void leave_requested(struct worker *worker, struct conn *conn, const struct message *request);

/* A backend's wish, with topics that were checked (control.c): not bound by push.conf, but by
 * max_topics. The client is told as if it had asked. */
void join_commanded(struct worker *worker, struct conn *conn, const json_t *topics);
void leave_commanded(struct worker *worker, struct conn *conn, const json_t *topics);

/* The connection has come from another worker (parcel.h) with this membership. `request`: of the
 * SUB that is still to be answered, in the other's numbers; 0: none. What comes twice changes
 * nothing. */
void join_brought(struct worker *worker, struct conn *conn, const char *name, size_t len,
                  uint32_t request);

/* The topic is live: whoever waits for it may be told. */
void join_live(struct worker *worker, uint32_t topic);

/* HELLO is on its way: what was joined before may be told. */
void join_greeted(struct worker *worker, const struct conn *conn);

/* The connection ends, and with it its memberships. */
void join_end(struct worker *worker, struct conn *conn);

/* End of a turn: sends what is due. */
void join_turn(struct worker *worker);

#endif
