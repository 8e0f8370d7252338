/*
 * Shows the counters and the slots as text for Prometheus and as JSON.
 */
#ifndef WSPUSHD_WORKER_METRICS_H
#define WSPUSHD_WORKER_METRICS_H

#include "worker/worker.h"

#include <jansson.h>

/* Returns the text of /metrics (Prometheus exposition format 0.0.4), owned by the caller, and its
 * length in bytes; NULL if memory is short. */
char *metrics_prometheus(const struct worker *worker, size_t *len);

/* Return the documents of /api/stats and of /api/users/<user>, owned by the caller. */
json_t *metrics_json(const struct worker *worker);
json_t *metrics_user(const struct worker *worker, const char *user, size_t len);

#endif
