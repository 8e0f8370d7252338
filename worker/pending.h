/*
 * A request of admin HTTP that waits for Redis: for the replies to its PUBLISH commands and, if it
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

/* Begins a request that publishes a text to at most `parts` channels. Takes `answer`, the document
 * to respond with; copies the text. Nothing is answered before pending_finish. Returns NULL if too
 * many requests are waiting: then it has been answered with a refusal. */
struct pending *pending_begin(struct worker *worker, struct evhttp_request *request, json_t *answer,
                              size_t parts, const char *text, size_t len);

/* What a part asks for besides the number of nodes. */
enum pending_question {
    PENDING_NODES = 0,
    PENDING_ONLINE = 1 << 0,  /* true if the number of nodes is above 0 */
    PENDING_REPORTS = 1 << 1, /* the nodes' reports: the envelope carries the part's ticket */
};

/* Publishes the text on a channel (named without the prefix). With PENDING_REPORTS the text is an
 * envelope, which gets the part's ticket. The result is put into `entry`, a borrowed part of the
 * answer. */
void pending_publish(struct worker *worker, struct pending *pending, const char *channel,
                     json_t *entry, unsigned questions);

/* Ends the publishing: the request is answered as soon as all replies and reports are there. */
void pending_finish(struct pending *pending);

/* Handles a report of a node. */
void pending_report(struct worker *worker, const uint8_t *text, size_t len);

/* Forgets the requests of a connection that is about to end: they are not answered. */
void pending_gone(const struct evhttp_connection *connection);

#endif
