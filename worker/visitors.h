/*
 * Connections of the admin interface: how many there may be, and that a successor knows of them.
 *
 * evhttp accepts, reads and closes them. Each is noted in the slot (descriptors.h), so that a
 * successor closes those of a dead worker at once, which their events would keep busy otherwise.
 */
#ifndef WSPUSHD_WORKER_VISITORS_H
#define WSPUSHD_WORKER_VISITORS_H

#include "worker/worker.h"

#include <event2/http.h>

enum { VISITORS_MAX = 64 }; /* of a worker; those beyond get 503 and are closed at once */

/* Lets evhttp accept from the listening socket, which stays the master's. Returns 0, or -1 if there
 * is no memory. Once in a process. */
int visitors_open(struct worker *worker, struct evhttp *http, int listener);

/* Stops accepting, for good. Connections that there are stay. After visitors_open. */
void visitors_close(void);

#endif
