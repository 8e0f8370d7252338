/*
 * Limits on how many may come: connections of one client address, handshakes a second. Both are
 * the whole node's, counted by each worker in words of its own and added up by whoever asks.
 */
#ifndef WSPUSHD_WORKER_LIMITS_H
#define WSPUSHD_WORKER_LIMITS_H

#include "worker/worker.h"

/* Attaches to this worker's table of addresses. A successor's is counted anew: limits_forget. */
void limits_open(struct worker *worker);

/* The connection's address is its client's own: CONN_COUNTED from here on. */
void limits_count(struct worker *worker, struct conn *conn);

/* This worker's connections have become one more, one less. */
void limits_gain(struct worker *worker, const struct conn *conn);
void limits_lose(struct worker *worker, const struct conn *conn);

/* After a death: counts nobody, before what this worker owns is counted. */
void limits_forget(struct worker *worker);

/* Whether the connection's address has more than it may, this one included; then this one is not
 * counted any more. */
bool limits_exceeded(struct worker *worker, struct conn *conn);

/* Whether a handshake may go on now. Counts it. */
bool limits_handshake(struct worker *worker);

#endif
