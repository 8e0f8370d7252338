/*
 * What the admin interface does, beside what it shows: POST /api/push and POST /api/kick.
 */
#ifndef WSPUSHD_WORKER_ADMIN_POST_H
#define WSPUSHD_WORKER_ADMIN_POST_H

#include "worker/worker.h"

#include <event2/http.h>

/* Handlers of paths (admin.c): answer at once, or later when Redis has. */
void admin_push(struct worker *worker, struct evhttp_request *request, const char *rest);
void admin_kick(struct worker *worker, struct evhttp_request *request, const char *rest);

#endif
