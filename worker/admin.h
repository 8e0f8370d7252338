/*
 * The admin interface: HTTP by evhttp. Whichever worker accepts a request answers it for the whole
 * node.
 */
#ifndef WSPUSHD_WORKER_ADMIN_H
#define WSPUSHD_WORKER_ADMIN_H

#include "worker/worker.h"

#include <event2/http.h>
#include <jansson.h>

/* Starts listening on push.conf's admin address, if there is one. Returns 0, or -1. */
int admin_open(struct worker *worker);

/* Shuts the admin listener down for all workers, because the master is dead. */
void admin_give_up(struct worker *worker);

/* Send a response: bytes; a JSON document, which is consumed; or {"error":"..."}. */
void admin_answer(struct evhttp_request *request, int status, const char *type, const void *body,
                  size_t len);
void admin_answer_json(struct evhttp_request *request, int status, json_t *json);
void admin_answer_error(struct evhttp_request *request, int status, const char *error);

#endif
