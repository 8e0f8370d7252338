/*
 * Writes the history of the node (shm/history.h), and shows it.
 */
#ifndef WSPUSHD_WORKER_SAMPLER_H
#define WSPUSHD_WORKER_SAMPLER_H

#include "worker/worker.h"

#include <jansson.h>

/* Once a second: the node's home adds a sample when one is due. */
void sampler_tick(const struct worker *worker);

/* Returns the document of /api/history. Owned by the caller. */
json_t *sampler_json(const struct worker *worker);

#endif
