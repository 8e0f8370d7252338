/*
 * Admin requests for the master: POST /api/reload, /api/upgrade and /api/drain.
 */
#ifndef WSPUSHD_WORKER_ADMIN_CHANGE_H
#define WSPUSHD_WORKER_ADMIN_CHANGE_H

#include "worker/worker.h"

#include <event2/http.h>
#include <jansson.h>

/* Path handlers (admin.c). They answer 202; /api/stats shows the outcome. */
void admin_reload(struct worker *worker, struct evhttp_request *request, const char *rest);
void admin_upgrade(struct worker *worker, struct evhttp_request *request, const char *rest);
void admin_drain(struct worker *worker, struct evhttp_request *request, const char *rest);

/* Adds the outcome of the last change of each kind to `json`. */
void admin_changes_json(const struct worker *worker, json_t *json);

#endif
