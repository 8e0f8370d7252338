/*
 * Joining and leaving topics: SUB and UNSUB by clients, `sub` and `unsub` by backends. A membership
 * begins at once. SUBBED is sent when every topic of the SUB is live (topic.h), and for a new
 * connection after its HELLO. Until then the membership names its SUB in shared memory, so that a
 * successor can answer it.
 */
#ifndef WSPUSHD_WORKER_JOIN_H
#define WSPUSHD_WORKER_JOIN_H

#include "proto/message.h"
#include "worker/worker.h"

#include <jansson.h>

struct join *join_new(void);

/* Handle a client's SUB and UNSUB, {"topics":["room:7"]}. push.conf decides who may join which
 * topic. */
void join_requested(struct worker *worker, struct conn *conn, const struct message *request);
void leave_requested(struct worker *worker, struct conn *conn, const struct message *request);

/* Handle a backend's `sub` and `unsub`, whose topics control.c has checked. max_topics binds them,
 * push.conf's `topics` does not. The client is told as if it had asked. */
void join_commanded(struct worker *worker, struct conn *conn, const json_t *topics);
void leave_commanded(struct worker *worker, struct conn *conn, const json_t *topics);

/* Restores a membership of a connection that has come from another worker (parcel.h). `request`:
 * the SUB still to be answered, by the other worker's number; 0: none. A repeated call changes
 * nothing. */
void join_brought(struct worker *worker, struct conn *conn, const char *name, size_t len,
                  uint32_t request);

/* Answers the SUBs that waited for this topic, which is live now. */
void join_live(struct worker *worker, uint32_t topic);

/* Answers the connection's earlier SUBs, because its HELLO is on its way. */
void join_greeted(struct worker *worker, const struct conn *conn);

/* Ends the memberships of a connection that ends. */
void join_end(struct worker *worker, struct conn *conn);

/* Sends the SUBBED that are due. Called at the end of a turn. */
void join_turn(struct worker *worker);

#endif
