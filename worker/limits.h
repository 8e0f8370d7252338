/*
 * Limits on the number of clients, of connections per client address, and of handshakes a second.
 * They apply to the whole node: each worker counts in fields of its own, and the worker that checks
 * a limit adds them up.
 */
#ifndef WSPUSHD_WORKER_LIMITS_H
#define WSPUSHD_WORKER_LIMITS_H

#include "worker/worker.h"

/* Attaches to this worker's address table, and computes the number of clients that the limit on
 * open files allows. A successor's table must be recounted: limits_forget. */
void limits_open(struct worker *worker);

/* True if the node has more clients than it may, including this one: the client is to be told. */
bool limits_full(const struct worker *worker);

/* True if so many of the clients above the limit have not left yet that this one, with descriptor
 * `fd`, is to be closed at once. */
bool limits_overfull(const struct worker *worker, uint32_t fd);

/* Starts counting the connection by its address, which is the client's own: sets CONN_COUNTED. */
void limits_count(struct worker *worker, struct conn *conn);

/* Call when this worker gains or loses a connection. */
void limits_gain(struct worker *worker, const struct conn *conn);
void limits_lose(struct worker *worker, const struct conn *conn);

/* Clears the counts after a death, before the successor counts its connections again. */
void limits_forget(struct worker *worker);

/* True if the connection's address has more connections than it may, including this one; then this
 * one is no longer counted. */
bool limits_exceeded(struct worker *worker, struct conn *conn);

/* True if a handshake may proceed now. Counts it. */
bool limits_handshake(struct worker *worker);

#endif
