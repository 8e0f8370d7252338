/*
 * A request of admin HTTP that waits for Redis: for the replies to what it publishes and, where it
 * asks what becomes of a push, for the reports of the nodes (proto/report.h).
 *
 *             the last reply                  every node has reported, or REPORTS_MS
 *   PUBLISHED ──────────────▶ asks: REPORTED ─────────────────────────────────────▶ answered
 *       │                     │ asks for nothing, or one has failed                     ▲
 *       │                     └─────────────────────────────────────────────────────────┤
 *       └─ REPLIES_S ───────────────────────────────────────────────────────────────────┘
 */
#ifndef WSPUSHD_WORKER_PENDING_H
#define WSPUSHD_WORKER_PENDING_H

#include "worker/worker.h"

#include <event2/http.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct pending;

/* Begins a request of at most `parts` commands, which is to be answered with `answer`: taken. Never
 * NULL. Nothing is answered before pending_finish. */
struct pending *pending_begin(struct worker *worker, struct evhttp_request *request, json_t *answer,
                              size_t parts);

/* What a part wants to know beside the number of nodes. */
enum pending_question {
    PENDING_NODES = 0,
    PENDING_ONLINE = 1 << 0,  /* whether that is above 0 */
    PENDING_REPORTS = 1 << 1, /* what the nodes report: the envelope has the part's ticket */
};

/* The ticket of the next part, NUL-terminated. */
void pending_ticket(const struct worker *worker, const struct pending *pending, char *ticket);

/* Publishes the next part on a channel behind the prefix. `entry`, a part of the answer, will show
 * what has become of it. */
void pending_publish(struct worker *worker, struct pending *pending, const char *channel,
                     const char *bytes, size_t len, json_t *entry, unsigned questions);

/* Everything is published: it is answered when that is possible. */
void pending_finish(struct pending *pending);

/* A report has come. */
void pending_report(struct worker *worker, const uint8_t *text, size_t len);

/* The connection is about to go: its requests are answered no more. */
void pending_gone(const struct evhttp_connection *connection);

#endif
