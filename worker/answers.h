/*
 * Answers to the requests of clients (ACCEPTED, ERROR, an echo), in the order of the requests.
 *
 * A request that is passed on to Redis takes a place in its connection's line. What is answered
 * meanwhile, to requests that came after it, takes places behind it:
 *
 *     oldest                                                    newest
 *     ┌──────────────┐  ┌──────────────┐  ┌──────────────┐  ┌──────────────┐
 *     │ owed         │  │ ERROR, twice │  │ owed         │  │ echo         │
 *     └──────────────┘  └──────────────┘  └──────────────┘  └──────────────┘
 *       by Redis          waits             by Redis          waits
 *
 * A connection without a request that Redis owes an answer to has no line and costs nothing: its
 * answers are sent at once. PONG, SUBBED and UNSUBBED tell by themselves what they answer, and
 * never wait here.
 *
 * Memory. The requests of all connections that Redis has not answered take at most `request_limit`
 * bytes (push.conf) in each worker, OWED_WEIGHT being added to each. One connection may take half
 * of what the others leave: so one alone cannot take all of it, and of n greedy ones each gets the
 * same part. The answers that wait in one line take at most `queue_limit` bytes, as a backlog does;
 * equal ones that follow each other count once. A client that is above it is closed with 1013.
 */
#ifndef WSPUSHD_WORKER_ANSWERS_H
#define WSPUSHD_WORKER_ANSWERS_H

#include "proto/message.h"
#include "worker/worker.h"

#include <stddef.h>

struct place; /* of one request that Redis owes the answer to */

/* Returns the worker's lines, or NULL if there is no memory. */
struct answers *answers_new(void);

/* Takes a place for a request of `bytes` bytes that is about to be passed on. Returns NULL if too
 * many bytes wait for Redis already. */
struct place *answers_owe(struct worker *worker, const struct conn *conn, uint32_t op,
                          size_t bytes);

/* Returns how many bytes the requests take that Redis has not answered. */
uint64_t answers_owed(const struct worker *worker);

/* Gives the place back: its request was not passed on. It must be the last that was taken. */
void answers_cancel(struct worker *worker, struct place *place);

/* Returns the opcode of the place's request. */
uint32_t answers_op(const struct place *place);

/* Fills the place with the request's answer, and sends what is in order then. The place is not to
 * be used afterwards. The message is copied. May end connections. */
void answers_fill(struct worker *worker, struct place *place, const struct message *answer);

/* Sends an answer that Redis has no part in: now, or behind those that are still owed. The message
 * is copied. May end the connection. */
void answers_send(struct worker *worker, struct conn *conn, const struct message *answer);

/* Forgets what waits for a connection that ends. */
void answers_forget(struct worker *worker, const struct conn *conn);

/* Sends what a turn before had too much of. */
void answers_turn(struct worker *worker);

/* True if another turn has more to send. */
bool answers_busy(const struct worker *worker);

/* Sends whatever waits, and ERROR `unavailable` for what Redis owes: the worker is about to leave,
 * and its successor could not tell whose answers those are. */
void answers_leave(struct worker *worker);

#endif
