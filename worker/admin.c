/*
 * See admin.h. Every answer is read from shared memory, so any worker can give it. Connections of
 * evhttp are noted in the slot, so that a successor closes those of a dead worker.
 *
 * A browser never does anything here from somebody else's page: a POST with a foreign Origin is
 * refused, for the interface has no login and often is on a developer's own loopback.
 */
#include "worker/admin.h"

#include "worker/admin_change.h"
#include "worker/admin_post.h"
#include "worker/auth.h"
#include "worker/dashboard.h"
#include "worker/descriptors.h"
#include "worker/metrics.h"
#include "worker/node.h"
#include "worker/pending.h"

#include <ctype.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FORBIDDEN = 403,
    BODY_MAX = 2 * 1024 * 1024, /* bytes of a request's body */
    TIMEOUT_S = 10              /* for a client to send its request */
};

struct admin {
    struct evhttp *http;
};

/* A connection that evhttp is about to accept. */
struct visitor {
    struct worker *worker;
    struct bufferevent *bufferevent;
};

/* ---- Answers ---- */

void admin_answer(struct evhttp_request *request, int status, const char *type, const void *body,
                  size_t len)
{
    struct evbuffer *buffer = evbuffer_new();
    if (!buffer) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    evbuffer_add(buffer, body, len);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
    evhttp_send_reply(request, status, NULL, buffer);
    evbuffer_free(buffer);
}

void admin_answer_json(struct evhttp_request *request, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    admin_answer(request, status, "application/json", text, strlen(text));
    free(text);
}

void admin_answer_error(struct evhttp_request *request, int status, const char *error)
{
    admin_answer_json(request, status, json_pack("{s:s}", "error", error));
}

/* ---- The paths ---- */

typedef void path_handler(struct worker *worker, struct evhttp_request *request, const char *rest);

static void get_healthz(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    (void)worker, (void)rest;
    admin_answer_json(request, 200, json_pack("{s:s}", "status", "alive"));
}

static void get_readyz(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    const char *why = "";
    (void)rest;
    if (node_serves(worker, &why))
        admin_answer_json(request, 200, json_pack("{s:s}", "status", "ready"));
    else
        admin_answer_json(request, 503, json_pack("{s:s, s:s}", "status", "not ready", "why", why));
}

static void get_metrics(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    size_t len = 0;
    char *text = metrics_prometheus(worker, &len);
    (void)rest;
    if (text)
        admin_answer(request, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
    else
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
    free(text);
}

static void get_stats(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    (void)rest;
    admin_answer_json(request, 200, metrics_json(worker));
}

/* evhttp_uridecode lets a broken escape stand as it is. */
static bool escapes_whole(const char *text)
{
    for (; *text; text++)
        if (*text == '%' && !(isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2])))
            return false;
    return true;
}

static void get_user(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    size_t len = 0;
    char *user = escapes_whole(rest) ? evhttp_uridecode(rest, 0, &len) : NULL;
    if (!user || !auth_user_valid(user, len))
        admin_answer_error(request, 400, "not a user name");
    else
        admin_answer_json(request, 200, metrics_user(worker, user, len));
    free(user);
}

/* `whole`: nothing may follow the path. */
static const struct {
    const char *path;
    path_handler *handler;
    enum evhttp_cmd_type method;
    bool whole;
} paths[] = {
    {"/", dashboard_page, EVHTTP_REQ_GET, true},
    {"/dashboard.", dashboard_part, EVHTTP_REQ_GET, false},
    {"/healthz", get_healthz, EVHTTP_REQ_GET, true},
    {"/readyz", get_readyz, EVHTTP_REQ_GET, true},
    {"/metrics", get_metrics, EVHTTP_REQ_GET, true},
    {"/api/stats", get_stats, EVHTTP_REQ_GET, true},
    {"/api/users/", get_user, EVHTTP_REQ_GET, false},
    {"/api/push", admin_push, EVHTTP_REQ_POST, true},
    {"/api/kick", admin_kick, EVHTTP_REQ_POST, true},
    {"/api/reload", admin_reload, EVHTTP_REQ_POST, true},
    {"/api/upgrade", admin_upgrade, EVHTTP_REQ_POST, true},
    {"/api/drain", admin_drain, EVHTTP_REQ_POST, true},
};

/* Browsers send Origin with every POST. */
static bool is_foreign(struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const char *origin = evhttp_find_header(headers, "Origin");
    const char *host = evhttp_find_header(headers, "Host");
    const char *authority = origin ? strstr(origin, "://") : NULL;
    return origin && (!authority || !host || strcmp(authority + 3, host) != 0);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    const char *allowed = NULL;
    for (size_t i = 0; path && i < sizeof(paths) / sizeof(paths[0]); i++) {
        const size_t len = strlen(paths[i].path);
        if (strncmp(path, paths[i].path, len) != 0 || (paths[i].whole && path[len]))
            continue;
        allowed = paths[i].method == EVHTTP_REQ_POST ? "POST" : "GET";
        if (evhttp_request_get_command(request) != paths[i].method)
            continue;
        if (paths[i].method == EVHTTP_REQ_POST && is_foreign(request))
            admin_answer_error(request, FORBIDDEN, "not from another origin's page");
        else
            paths[i].handler(arg, request, path + len);
        return;
    }
    if (allowed) {
        evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", allowed);
        admin_answer_error(request, HTTP_BADMETHOD, "method not allowed");
    } else {
        admin_answer_error(request, HTTP_NOTFOUND, "no such path");
    }
}

/* ---- Connections ---- */

/* evhttp tells of a connection before it gives it its descriptor: looked at a moment later. */
static void on_visitor(evutil_socket_t none, short what, void *arg)
{
    struct visitor *visitor = arg;
    const int fd = bufferevent_getfd(visitor->bufferevent);
    (void)none, (void)what;
    if (fd > 0)
        descriptors_note(visitor->worker, fd); /* where there is no room, the audit finds it */
    bufferevent_decref(visitor->bufferevent);
    free(visitor);
}

/* A request may still wait for Redis. */
static void on_visitor_closed(struct evhttp_connection *connection, void *arg)
{
    (void)arg;
    pending_gone(connection);
}

static void on_any(struct evhttp_request *request, void *arg)
{
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_visitor_closed, NULL);
    worker_note_time(arg);
    on_request(request, arg);
}

static struct bufferevent *new_visitor(struct event_base *base, void *arg)
{
    struct bufferevent *bufferevent = bufferevent_socket_new(base, -1, 0);
    struct visitor *visitor = malloc(sizeof(*visitor));
    if (!bufferevent || !visitor) {
        free(visitor);
        return bufferevent;
    }
    *visitor = (struct visitor){arg, bufferevent};
    bufferevent_incref(bufferevent);
    event_base_once(base, -1, EV_TIMEOUT, on_visitor, visitor, NULL);
    return bufferevent;
}

int admin_open(struct worker *worker)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    if (!admin)
        return -1;
    worker->admin = admin;
    if (worker->setup->admin_fd < 0 || worker->id >= worker->plan.active)
        return 0; /* nothing to do: there is none, or this is a guest (move.h) */
    admin->http = evhttp_new(worker->base);
    if (!admin->http || evhttp_accept_socket(admin->http, worker->setup->admin_fd) == -1)
        return -1;
    evhttp_set_max_headers_size(admin->http, HEAD_MAX);
    evhttp_set_max_body_size(admin->http, BODY_MAX);
    evhttp_set_timeout(admin->http, TIMEOUT_S);
    evhttp_set_default_content_type(admin->http, "application/json");
    evhttp_set_bevcb(admin->http, new_visitor, worker);
    evhttp_set_gencb(admin->http, on_any, worker);
    return 0;
}
