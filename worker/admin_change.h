/*
 * What the admin interface asks of the master: POST /api/reload, /api/upgrade and /api/drain.
 */
#ifndef WSPUSHD_WORKER_ADMIN_CHANGE_H
#define WSPUSHD_WORKER_ADMIN_CHANGE_H

#include "worker/worker.h"

#include <event2/http.h>
#include <jansson.h>

/* Handlers of paths (admin.c). They answer 202: what becomes of it stands in /api/stats. */
void admin_reload(struct worker *worker, struct evhttp_request *request, const char *rest);
void admin_upgrade(struct worker *worker, struct evhttp_request *request, const char *rest);
void admin_drain(struct worker *worker, struct evhttp_request *request, const char *rest);

/* Adds to `json` how the last change of each kind has ended. */
void admin_changes_json(const struct worker *worker, json_t *json);

#endif
