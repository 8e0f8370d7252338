/*
 * How many requests a connection may make in a second: a token bucket for each connection and
 * opcode that has been busy lately. A bucket that has rested for a second is full again, and then
 * it need not be kept: so idle connections cost nothing, and a successor may begin with none.
 */
#ifndef WSPUSHD_WORKER_RATES_H
#define WSPUSHD_WORKER_RATES_H

#include "worker/worker.h"

struct rates *rates_new(void);

/* Takes one of the connection's `rate` tokens a second. Returns false where there is none left. */
bool rates_allow(struct worker *worker, const struct conn *conn, uint32_t op, uint32_t rate);

#endif
