/*
 * The heartbeat, the time limits of connections, and other work that is done once a second.
 * Connections have no timers of their own: the table is walked in slices, so that every record is
 * visited once in a period.
 */
#ifndef WSPUSHD_WORKER_SWEEP_H
#define WSPUSHD_WORKER_SWEEP_H

#include "worker/worker.h"

/* Starts the timer of one second. Returns 0, or -1 if memory is short. */
int sweep_open(struct worker *worker);

#endif
