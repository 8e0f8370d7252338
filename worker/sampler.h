/*
 * Records the history of the node (shm/history.h) and shows it.
 */
#ifndef WSPUSHD_WORKER_SAMPLER_H
#define WSPUSHD_WORKER_SAMPLER_H

#include "worker/worker.h"

#include <jansson.h>

/* Adds a sample, in the node's home, when one is due. Call it once a second. */
void sampler_tick(const struct worker *worker);

/* Returns the document of /api/history, owned by the caller; NULL if memory is short. */
json_t *sampler_json(const struct worker *worker);

#endif
