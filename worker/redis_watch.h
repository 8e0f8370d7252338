/*
 * Asks Redis now and then whether it is still the primary: a failover may have made it a replica,
 * which says so to nobody. Then both links end, and are made again wherever the name leads by then.
 */
#ifndef WSPUSHD_WORKER_REDIS_WATCH_H
#define WSPUSHD_WORKER_REDIS_WATCH_H

#include "worker/worker.h"

/* Once a second: asks when it is time. */
void redis_watch_tick(struct worker *worker);

#endif
