/*
 * Limits the requests that a connection may make in a second, by a token bucket for each connection
 * and opcode used recently. A bucket that was not used for a second is full and need not be kept,
 * so idle connections cost nothing and a successor begins with none.
 */
#ifndef WSPUSHD_WORKER_RATES_H
#define WSPUSHD_WORKER_RATES_H

#include "worker/worker.h"

/* Returns a new, empty table, or NULL if memory is short. */
struct rates *rates_new(void);

/* Takes one of the connection's `rate` tokens a second. Returns false if none is left. */
bool rates_allow(struct worker *worker, const struct conn *conn, uint32_t op, uint32_t rate);

#endif
