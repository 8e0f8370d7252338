/*
 * The admin interface: HTTP by evhttp, answered by whichever worker accepts, for the whole node.
 */
#ifndef WSPUSHD_WORKER_ADMIN_H
#define WSPUSHD_WORKER_ADMIN_H

#include "worker/worker.h"

/* Begins to listen where push.conf says, if it does. Returns 0, or -1. */
int admin_open(struct worker *worker);

#endif
