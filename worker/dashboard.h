/*
 * The dashboard: a page that shows the node live, compiled into the server, at / of the admin
 * interface.
 */
#ifndef WSPUSHD_WORKER_DASHBOARD_H
#define WSPUSHD_WORKER_DASHBOARD_H

#include "worker/worker.h"

#include <event2/http.h>

/* Handlers of paths (admin.c): the page; one of its parts, dashboard.<rest>. */
void dashboard_page(struct worker *worker, struct evhttp_request *request, const char *rest);
void dashboard_part(struct worker *worker, struct evhttp_request *request, const char *rest);

#endif
