/*
 * The debug log of single connections and pushes: what opened and closed, and what became of each
 * push on each connection. Nothing is written, and next to nothing costs, unless log_level is
 * debug.
 */
#ifndef WSPUSHD_WORKER_TRACE_H
#define WSPUSHD_WORKER_TRACE_H

#include "proto/envelope.h"
#include "worker/client.h"

/* True if such lines are written: ask before gathering what they say. */
static inline bool trace_on(const struct worker *worker)
{
    return worker->config->log_level == CONFIG_LOG_DEBUG;
}

/* A connection gets its HELLO; `mode`: "binary", "json" or "echo". */
void trace_opened(const struct worker *worker, const struct conn *conn, const char *mode);

/* A connection ends, by the close code that the server sends, or 0 without a close frame. */
void trace_closed(const struct worker *worker, const struct conn *conn, enum closed_reason reason,
                  uint16_t code);

/* A well-formed push has come; `id`: of its envelope, as log_quote gives it, or ""; `mark`: where
 * from (conn_mark). */
void trace_push(const struct worker *worker, const struct push *push, const char *id,
                uint64_t mark);

/* The user or topic of a push has no connection here. */
void trace_nobody(const struct worker *worker, const char *name, size_t len, uint64_t mark);

/* What became of one push on one connection: "delivered", "queued" or "closed". */
void trace_delivery(const struct worker *worker, const struct conn *conn, uint64_t mark,
                    const char *outcome);

/* So many queued pushes are dropped from a connection's backlog. */
void trace_dropped(const struct worker *worker, const struct conn *conn, uint64_t pushes,
                   const char *reason);

/* The backlog of a connection is empty again: what was queued is delivered. */
void trace_caught_up(const struct worker *worker, const struct conn *conn);

#endif
