/*
 * Admin requests that act on clients: POST /api/push and POST /api/kick.
 */
#ifndef WSPUSHD_WORKER_ADMIN_POST_H
#define WSPUSHD_WORKER_ADMIN_POST_H

#include "worker/worker.h"

#include <event2/http.h>

/* Path handlers (admin.c). They answer at once, or when Redis has answered. */
void admin_push(struct worker *worker, struct evhttp_request *request, const char *rest);
void admin_kick(struct worker *worker, struct evhttp_request *request, const char *rest);

#endif
