/*
 * The dashboard: a live page about the node, compiled into the server and served at / of the admin
 * interface.
 */
#ifndef WSPUSHD_WORKER_DASHBOARD_H
#define WSPUSHD_WORKER_DASHBOARD_H

#include "worker/worker.h"

#include <event2/http.h>

/* Path handlers (admin.c): the page, and its parts dashboard.<rest>. */
void dashboard_page(struct worker *worker, struct evhttp_request *request, const char *rest);
void dashboard_part(struct worker *worker, struct evhttp_request *request, const char *rest);

#endif
