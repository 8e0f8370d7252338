/*
 * The admin interface: HTTP by evhttp, answered by whichever worker accepts, for the whole node.
 */
#ifndef WSPUSHD_WORKER_ADMIN_H
#define WSPUSHD_WORKER_ADMIN_H

#include "worker/worker.h"

#include <event2/http.h>
#include <jansson.h>

/* Begins to listen where push.conf says, if it does. Returns 0, or -1. */
int admin_open(struct worker *worker);

/* Stops listening, for all workers: the master is dead. */
void admin_give_up(struct worker *worker);

/* Answer with bytes; with a document, which is taken; or with {"error":"..."}. */
void admin_answer(struct evhttp_request *request, int status, const char *type, const void *body,
                  size_t len);
void admin_answer_json(struct evhttp_request *request, int status, json_t *json);
void admin_answer_error(struct evhttp_request *request, int status, const char *error);

#endif
