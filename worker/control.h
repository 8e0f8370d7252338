/*
 * Commands of backends on push:ctl. Every node gets each at its home, the worker that has the
 * subscription, and shares it out among its workers: each does what concerns its connections.
 */
#ifndef WSPUSHD_WORKER_CONTROL_H
#define WSPUSHD_WORKER_CONTROL_H

#include "worker/worker.h"

#include <stddef.h>

/* The node's home: carries out a command, which is at `position` of its link's stream, and has all
 * workers do so. One that is malformed is counted and logged. Returns false if a worker has no room
 * for it: then nothing is done, and this worker is woken when there is room. */
bool control_command(struct worker *worker, const uint8_t *payload, size_t len, uint64_t position);

/* Carries out a command that the node's home has shared out. */
void control_copied(struct worker *worker, const uint8_t *payload, size_t len);

#endif
