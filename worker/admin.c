/*
 * See admin.h. All data for the answers is in shared memory, so any worker can answer.
 *
 * One table lists the paths, their methods, and whether they bypass the guard (admin_guard.c).
 */
#include "worker/admin.h"

#include "worker/accept.h"
#include "worker/admin_change.h"
#include "worker/admin_guard.h"
#include "worker/admin_post.h"
#include "worker/auth.h"
#include "worker/dashboard.h"
#include "worker/metrics.h"
#include "worker/node.h"
#include "worker/redis_trouble.h"
#include "worker/pending.h"
#include "worker/sampler.h"
#include "worker/visitors.h"

#include <ctype.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_MAX = 2 * 1024 * 1024, /* bytes of a request's body */
    TIMEOUT_S = 10              /* for a client to send its request */
};

struct admin {
    struct evhttp *http;
};

/* ---- Answers ---- */

void admin_answer(struct evhttp_request *request, int status, const char *type, const void *body,
                  size_t len)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    struct evbuffer *buffer = evbuffer_new();
    char length[24];
    if (!buffer)
        abort();
    snprintf(length, sizeof(length), "%zu", len);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Content-Length", length);
    if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD)
        evbuffer_add(buffer, body, len);
    evhttp_send_reply(request, status, NULL, buffer);
    evbuffer_free(buffer);
}

/* Ends the document with a line feed, so that a shell's prompt starts on a new line. */
void admin_answer_json(struct evhttp_request *request, int status, json_t *json)
{
    static const char failed[] = "{\"error\":\"the answer could not be written\"}\n";
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        abort();
    const bool written =
        json && json_dumpf(json, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF;
    fclose(out);
    json_decref(json);
    if (written)
        admin_answer(request, status, "application/json", text, len);
    else
        admin_answer(request, HTTP_INTERNAL, "application/json", failed, sizeof(failed) - 1);
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
    char redis[TROUBLE_TEXT_MAX];
    (void)rest;
    if (node_serves(worker, &why))
        admin_answer_json(request, 200, json_pack("{s:s}", "status", "ready"));
    else if (redis_trouble_any(worker, redis))
        admin_answer_json(
            request, 503,
            json_pack("{s:s, s:s, s:s}", "status", "not ready", "why", why, "redis", redis));
    else
        admin_answer_json(request, 503, json_pack("{s:s, s:s}", "status", "not ready", "why", why));
}

static void get_metrics(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    size_t len = 0;
    char *text = metrics_prometheus(worker, &len);
    (void)rest;
    if (!text)
        abort(); /* out of memory */
    admin_answer(request, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
    free(text);
}

static void get_stats(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    (void)rest;
    admin_answer_json(request, 200, metrics_json(worker));
}

static void get_history(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    (void)rest;
    admin_answer_json(request, 200, sampler_json(worker));
}

/* True if the text has no broken percent-escape: evhttp_uridecode would keep one unchanged. */
static bool has_whole_escapes(const char *text)
{
    for (; *text; text++)
        if (*text == '%' && !(isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2])))
            return false;
    return true;
}

static void get_user(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    size_t len = 0;
    char *user = has_whole_escapes(rest) ? evhttp_uridecode(rest, 0, &len) : NULL;
    if (!user || !auth_user_valid(user, len))
        admin_answer_error(request, 400, "not a user name");
    else
        admin_answer_json(request, 200, metrics_user(worker, user, len));
    free(user);
}

/* Methods of a path: GET along with HEAD, or POST. */
enum { GET = EVHTTP_REQ_GET | EVHTTP_REQ_HEAD, POST = EVHTTP_REQ_POST };
enum { WHOLE = 0, PREFIX = 1, OPEN = 2 };

struct path {
    const char *path;
    path_handler *handler;
    unsigned methods, flags;
};

static const struct path paths[] = {
    {"/", dashboard_page, GET, WHOLE},
    {"/dashboard.", dashboard_part, GET, PREFIX},
    {"/healthz", get_healthz, GET, WHOLE | OPEN},
    {"/readyz", get_readyz, GET, WHOLE | OPEN},
    {"/metrics", get_metrics, GET, WHOLE},
    {"/api/stats", get_stats, GET, WHOLE},
    {"/api/history", get_history, GET, WHOLE},
    {"/api/users/", get_user, GET, PREFIX},
    {"/api/push", admin_push, POST, WHOLE},
    {"/api/kick", admin_kick, POST, WHOLE},
    {"/api/reload", admin_reload, POST, WHOLE},
    {"/api/upgrade", admin_upgrade, POST, WHOLE},
    {"/api/drain", admin_drain, POST, WHOLE},
};

/* Returns the row of a path, or NULL. */
static const struct path *find_admin_path(const char *path)
{
    for (size_t i = 0; path && i < sizeof(paths) / sizeof(paths[0]); i++) {
        const size_t len = strlen(paths[i].path);
        if (strncmp(path, paths[i].path, len) == 0 && ((paths[i].flags & PREFIX) || !path[len]))
            return &paths[i];
    }
    return NULL;
}

static void refuse_http_method(struct evhttp_request *request, unsigned methods)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), "Allow",
                      methods == POST ? "POST" : "GET, HEAD");
    admin_answer_error(request, HTTP_BADMETHOD, "method not allowed");
}

static void dispatch_admin_request(struct evhttp_request *request, struct worker *worker)
{
    const char *text = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    const struct path *path = find_admin_path(text);
    if (!(path && (path->flags & OPEN)) && !admin_guard_admits(worker, request))
        return;
    if (!path)
        admin_answer_error(request, HTTP_NOTFOUND, "no such path");
    else if (!(evhttp_request_get_command(request) & path->methods))
        refuse_http_method(request, path->methods);
    else
        path->handler(worker, request, text + strlen(path->path));
}

/* ---- Connections ---- */

/* Forgets the connection's request, which may still wait for Redis. */
static void on_visitor_closed(struct evhttp_connection *connection, void *arg)
{
    (void)arg;
    pending_gone(connection);
}

static void on_admin_request(struct evhttp_request *request, void *arg)
{
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_visitor_closed, NULL);
    worker_note_time(arg);
    dispatch_admin_request(request, arg);
}

void admin_give_up(struct worker *worker)
{
    if (!worker->admin->http)
        return;
    visitors_close();
    accept_shut_down(worker, worker->setup->admin_fd);
}

int admin_open(struct worker *worker)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    if (!admin)
        return -1;
    worker->admin = admin;
    if (worker->setup->admin_fd < 0 || worker->id >= worker->plan.active)
        return 0; /* nothing to do: no admin address, or this worker is not in use yet (move.h) */
    admin->http = evhttp_new(worker->base);
    if (!admin->http || visitors_open(worker, admin->http, worker->setup->admin_fd) == -1)
        return -1;
    evhttp_set_max_headers_size(admin->http, HEAD_MAX);
    evhttp_set_max_body_size(admin->http, BODY_MAX);
    evhttp_set_timeout(admin->http, TIMEOUT_S);
    evhttp_set_allowed_methods(admin->http, UINT16_MAX); /* refused by path, in JSON */
    evhttp_set_default_content_type(admin->http, "application/json");
    evhttp_set_gencb(admin->http, on_admin_request, worker);
    return 0;
}
