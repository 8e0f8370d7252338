/*
 * The statistics table and the slots, as text for Prometheus and as JSON.
 */
#ifndef WSPUSHD_WORKER_METRICS_H
#define WSPUSHD_WORKER_METRICS_H

#include "worker/worker.h"

#include <jansson.h>

/* The text of /metrics (Prometheus exposition format 0.0.4). Returns it owned, or NULL. */
char *metrics_prometheus(const struct worker *worker, size_t *len);

/* The document of /api/stats; the one of /api/users/<user>. Owned by the caller. */
json_t *metrics_json(const struct worker *worker);
json_t *metrics_user(const struct worker *worker, const char *user, size_t len);

#endif
