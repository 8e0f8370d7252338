/*
 * Commands of backends on push:ctl. On every node the home worker, which holds the subscription,
 * receives each command and shares it with the node's workers: each applies it to its own
 * connections.
 */
#ifndef WSPUSHD_WORKER_CONTROL_H
#define WSPUSHD_WORKER_CONTROL_H

#include "worker/worker.h"

#include <stddef.h>

/* Carries out a command, and has all workers do so. `position`: of the command in the link's
 * stream. Called in the node's home. A malformed command is counted and logged. Returns false if a
 * worker has no room for it: then nothing is done, and this worker is woken when there is room. */
bool control_command(struct worker *worker, const uint8_t *payload, size_t len, uint64_t position);

/* Carries out a command that the node's home has shared with this worker. */
void control_copied(struct worker *worker, const uint8_t *payload, size_t len);

#endif
