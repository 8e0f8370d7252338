/*
 * Limits on how many may come: clients in all, connections of one client address, handshakes a
 * second. They are the whole node's, counted by each worker in words of its own and added up by the
 * worker that asks.
 */
#ifndef WSPUSHD_WORKER_LIMITS_H
#define WSPUSHD_WORKER_LIMITS_H

#include "worker/worker.h"

/* Attaches to this worker's table of addresses, and finds out how many clients the limit on open
 * files allows. A successor's table is counted again: limits_forget. */
void limits_open(struct worker *worker);

/* True if the node has more clients than it may, this one included: it is to be told so. */
bool limits_full(const struct worker *worker);

/* True if so many of them have not left yet that this one, with descriptor `fd`, is to be closed at
 * once. */
bool limits_overfull(const struct worker *worker, uint32_t fd);

/* The connection's address is its client's own: CONN_COUNTED from here on. */
void limits_count(struct worker *worker, struct conn *conn);

/* This worker's connections have become one more, one less. */
void limits_gain(struct worker *worker, const struct conn *conn);
void limits_lose(struct worker *worker, const struct conn *conn);

/* After a death: counts nobody, before what this worker owns is counted. */
void limits_forget(struct worker *worker);

/* True if the connection's address has more connections than it may, this one included; then this
 * one is not counted any more. */
bool limits_exceeded(struct worker *worker, struct conn *conn);

/* Whether a handshake may go on now. Counts it. */
bool limits_handshake(struct worker *worker);

#endif
