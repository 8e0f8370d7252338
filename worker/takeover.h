/*
 * Takes over a slot, either an unused one or that of a worker that died.
 */
#ifndef WSPUSHD_WORKER_TAKEOVER_H
#define WSPUSHD_WORKER_TAKEOVER_H

#include "worker/worker.h"

/* Closes descriptors of the last worker, and rebuilds a damaged index. Call it before the modules
 * open. */
void takeover_begin(struct worker *worker);

/* Rebuilds the user index, the topics and the counts from the records. */
void takeover_rebuild(struct worker *worker);

/* Recovers connections and repeats requests that were under way. Call it when the modules are
 * open. */
void takeover_finish(struct worker *worker);

#endif
