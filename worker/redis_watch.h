/*
 * Checks from time to time that Redis is still a primary: a failover may have made it a replica,
 * and no client is told. If so, both links are closed and made again at the address that the name
 * then has.
 */
#ifndef WSPUSHD_WORKER_REDIS_WATCH_H
#define WSPUSHD_WORKER_REDIS_WATCH_H

#include "worker/worker.h"

/* Asks for the role when that is due. Call it once a second. */
void redis_watch_tick(struct worker *worker);

#endif
