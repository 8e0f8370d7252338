/*
 * Answers to the requests of clients (ACCEPTED, ERROR, an echo), in the order of the requests.
 *
 * A request that is passed on to Redis reserves a place in its connection's line. Answers to later
 * requests queue behind it:
 *
 *     oldest                                                    newest
 *     ┌──────────────┐  ┌──────────────┐  ┌──────────────┐  ┌──────────────┐
 *     │ owed         │  │ ERROR, twice │  │ owed         │  │ echo         │
 *     └──────────────┘  └──────────────┘  └──────────────┘  └──────────────┘
 *       by Redis          waits             by Redis          waits
 *
 * A connection that awaits no answer from Redis has no line and costs nothing: its answers are sent
 * at once. PONG, SUBBED and UNSUBBED identify the request that they answer, so they never wait
 * here.
 *
 * Memory: the requests that await Redis's answer take at most `request_limit` bytes (push.conf) in
 * each worker, with OWED_WEIGHT added to each. One connection may take half of what the others
 * leave free, so no single one can take everything, and n greedy ones get equal shares. The answers
 * that wait in one line take at most `queue_limit` bytes, as a backlog does; equal answers in a row
 * count once. A client above that limit is closed with 1013.
 */
#ifndef WSPUSHD_WORKER_ANSWERS_H
#define WSPUSHD_WORKER_ANSWERS_H

#include "proto/message.h"
#include "worker/worker.h"

#include <stddef.h>

struct place; /* reserved for the answer of one request */

/* Returns the worker's lines, or NULL if there is no memory. */
struct answers *answers_new(void);

/* Reserves a place for a request of `bytes` bytes that is about to be passed on. Returns NULL if
 * the requests that await Redis already take too many bytes. */
struct place *answers_owe(struct worker *worker, const struct conn *conn, uint32_t op,
                          size_t bytes);

/* Returns the bytes taken by requests that await Redis's answer. */
uint64_t answers_owed(const struct worker *worker);

/* Frees the place of a request that was not passed on. It must be the last one reserved. */
void answers_cancel(struct worker *worker, struct place *place);

/* Returns the opcode of the place's request. */
uint32_t answers_op(const struct place *place);

/* Puts the request's answer into its place, and sends the answers that are next in order. The place
 * must not be used afterwards. Copies the message. May end connections. */
void answers_fill(struct worker *worker, struct place *place, const struct message *answer);

/* Sends an answer that does not come from Redis: now, or behind those that Redis still owes. Copies
 * the message. May end the connection. */
void answers_send(struct worker *worker, struct conn *conn, const struct message *answer);

/* Discards the line of a connection that ends. */
void answers_forget(struct worker *worker, const struct conn *conn);

/* Sends answers that an earlier turn left because it had too many. */
void answers_turn(struct worker *worker);

/* True if the next turn has more to send. */
bool answers_busy(const struct worker *worker);

/* Sends all waiting answers, and ERROR `unavailable` for those that Redis owes. Called when the
 * worker is about to leave: its successor could not match Redis's answers to their requests. */
void answers_leave(struct worker *worker);

#endif
