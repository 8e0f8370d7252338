/*
 * The debug log of single connections and pushes: which connections opened and closed, and the
 * outcome of each push on each connection. Unless log_level is debug, nothing is written and the
 * cost is negligible.
 */
#ifndef WSPUSHD_WORKER_TRACE_H
#define WSPUSHD_WORKER_TRACE_H

#include "proto/envelope.h"
#include "worker/client.h"

/* True if these lines are written: check it before gathering their data. */
static inline bool trace_on(const struct worker *worker)
{
    return worker->config->log_level == CONFIG_LOG_DEBUG;
}

/* Logs that a connection gets its HELLO. `mode`: "binary", "json" or "echo". */
void trace_opened(const struct worker *worker, const struct conn *conn, const char *mode);

/* Logs that a connection ends, with the close code that the server sends, or 0 without a close
 * frame. */
void trace_closed(const struct worker *worker, const struct conn *conn, enum closed_reason reason,
                  uint16_t code);

/* Logs a well-formed push. `id`: of its envelope, as log_quote returns it, or "". `mark`: its
 * source and position (conn_mark). */
void trace_push(const struct worker *worker, const struct push *push, const char *id,
                uint64_t mark);

/* Logs that the user or topic of a push has no connection here. */
void trace_nobody(const struct worker *worker, const char *name, size_t len, uint64_t mark);

/* Logs the outcome of a push on one connection: "delivered", "queued" or "closed". */
void trace_delivery(const struct worker *worker, const struct conn *conn, uint64_t mark,
                    const char *outcome);

/* Logs that `pushes` queued pushes were dropped from a connection's backlog. */
void trace_dropped(const struct worker *worker, const struct conn *conn, uint64_t pushes,
                   const char *reason);

/* Logs that a connection's backlog is empty again: all queued pushes are delivered. */
void trace_caught_up(const struct worker *worker, const struct conn *conn);

#endif
