/*
 * The metrics of the node and its processes that are not counters, for /metrics and /api/stats. The
 * list is in metrics_list.h.
 */
#ifndef WSPUSHD_WORKER_METRICS_NODE_H
#define WSPUSHD_WORKER_METRICS_NODE_H

#include "worker/worker.h"

#include <jansson.h>
#include <stdio.h>

/* Prints the metrics in Prometheus's text format. */
void metrics_node_print(const struct worker *worker, FILE *out);

/* Adds the metrics to the document of /api/stats: "capacity", "process", "push_latency",
 * "requests", more members of "workers", and the counters among them to "counters". Borrows
 * `json`. */
void metrics_node_json(const struct worker *worker, json_t *json);

#endif
