/*
 * Commands of backends on push:ctl. Every node gets each, and every worker of a node: whoever has
 * the connections that it is for carries it out.
 */
#ifndef WSPUSHD_WORKER_CONTROL_H
#define WSPUSHD_WORKER_CONTROL_H

#include "worker/worker.h"

#include <stddef.h>

/* Carries out a command as far as it concerns this worker's connections. One that is malformed is
 * counted and logged by the node's home, and so once for the node. */
void control_command(struct worker *worker, const uint8_t *payload, size_t len);

#endif
