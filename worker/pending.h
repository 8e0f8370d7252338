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

enum { PENDING_TICKET_MAX = 64 }; /* bytes that a ticket adds to a text */

/* Begins a request that publishes a text to at most `parts` channels, and is to be answered with
 * `answer`: taken. The text is copied. Nothing is answered before pending_finish. NULL: so much
 * waits already that the request was refused; it is answered. */
struct pending *pending_begin(struct worker *worker, struct evhttp_request *request, json_t *answer,
                              size_t parts, const char *text, size_t len);

/* What a part wants to know beside the number of nodes. */
enum pending_question {
    PENDING_NODES = 0,
    PENDING_ONLINE = 1 << 0,  /* whether that is above 0 */
    PENDING_REPORTS = 1 << 1, /* what the nodes report: the envelope has the part's ticket */
};

/* Publishes the text on a channel behind the prefix; with PENDING_REPORTS it is an envelope, which
 * gets the part's ticket. `entry`, a part of the answer, will show what has become of it. */
void pending_publish(struct worker *worker, struct pending *pending, const char *channel,
                     json_t *entry, unsigned questions);

/* Everything is published: it is answered when that is possible. */
void pending_finish(struct pending *pending);

/* A report has come. */
void pending_report(struct worker *worker, const uint8_t *text, size_t len);

/* The connection is about to go: its requests are answered no more. */
void pending_gone(const struct evhttp_connection *connection);

#endif
