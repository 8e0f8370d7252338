/*
 * The heartbeat, the time limits of connections, and whatever else happens once a second. There
 * is no timer for each connection: the table is walked in slices, so that every record is
 * looked at once in a period.
 */
#ifndef WSPUSHD_WORKER_SWEEP_H
#define WSPUSHD_WORKER_SWEEP_H

#include "worker/worker.h"

/* Starts the timer of one second. Returns 0, or -1. */
int sweep_open(struct worker *worker);

#endif
