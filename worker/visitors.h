/*
 * Connections of the admin interface: limits their number, and tells a successor about them.
 *
 * evhttp accepts, reads and closes them. Each is noted in the slot (descriptors.h), so that a
 * successor closes those of a dead worker at once; otherwise their events would keep it busy.
 */
#ifndef WSPUSHD_WORKER_VISITORS_H
#define WSPUSHD_WORKER_VISITORS_H

#include "worker/worker.h"

#include <event2/http.h>

enum { VISITORS_MAX = 64 }; /* of a worker; more get 503 and are closed at once */

/* Lets evhttp accept from the listening socket, which the master still owns. Returns 0, or -1 if
 * memory is short. Call it once in a process. */
int visitors_open(struct worker *worker, struct evhttp *http, int listener);

/* Stops accepting for good; open connections stay. Call it after visitors_open. */
void visitors_close(void);

#endif
