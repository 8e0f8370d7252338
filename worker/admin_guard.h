/*
 * Access control of the admin interface: a request needs the token of push.conf, if one is
 * configured, and never comes from a browser on behalf of another site's page.
 */
#ifndef WSPUSHD_WORKER_ADMIN_GUARD_H
#define WSPUSHD_WORKER_ADMIN_GUARD_H

#include "worker/worker.h"

#include <event2/http.h>

/* True if the request may be carried out; otherwise it has been answered with 401 or 403. */
bool admin_guard_admits(struct worker *worker, struct evhttp_request *request);

#endif
