/*
 * The life of a client's connection in its owner: the handling of its socket's events in each
 * state, and the ways it ends. shm/conn.h draws the states.
 */
#ifndef WSPUSHD_WORKER_CLIENT_H
#define WSPUSHD_WORKER_CLIENT_H

#include "worker/worker.h"

#include <stddef.h>

/* The reason a connection ended; each has a counter. X(name, field of struct stats) */
#define CLOSED_REASONS(X)                 \
    X(CLOSED_PEER, closed_peer)           \
    X(CLOSED_RESET, closed_reset)         \
    X(CLOSED_PROTOCOL, closed_protocol)   \
    X(CLOSED_SLOW, closed_slow)           \
    X(CLOSED_HEARTBEAT, closed_heartbeat) \
    X(CLOSED_KICKED, closed_kicked)       \
    X(CLOSED_REPLACED, closed_replaced)   \
    X(CLOSED_EXPIRED, closed_expired)     \
    X(CLOSED_DRAIN, closed_drain)         \
    X(CLOSED_DIRTY, closed_dirty)         \
    X(CLOSED_POISON, closed_poison)

enum closed_reason {
#define CLOSED_ENUM(name, field) name,
    CLOSED_REASONS(CLOSED_ENUM)
#undef CLOSED_ENUM
};

/* Handles the events of the slot's epoll set, at most EVENTS_MAX at a time. */
void clients_ready(struct worker *worker);

/* Registers a connection in the slot's epoll set. Returns 0, or -1 with errno. */
int client_watch(struct worker *worker, struct conn *conn);

/* Removes the connection from the set: nothing is read, and a disconnect not noticed, until
 * client_watch(). */
void client_unwatch(struct worker *worker, struct conn *conn);

/* Handles bytes received from an upgraded client. Unmasks them in place. */
void client_feed(struct worker *worker, struct conn *conn, uint8_t *bytes, size_t len);

/* Frees the record and closes the socket at once. Counts `reason` only for an upgraded
 * connection. */
void client_end(struct worker *worker, struct conn *conn, enum closed_reason reason);

/* Sends a close frame, takes the connection out of the user index, and waits for the peer to close
 * (state CLOSING). Drops the pushes of its backlog, except one that is partly sent; other frames
 * there go before the close frame. */
void client_close(struct worker *worker, struct conn *conn, uint16_t code, const char *text,
                  enum closed_reason reason);

/* Called by the outbox when the kernel did not take everything, and the remainder is in the
 * backlog; when the backlog is empty again; and when everything of this turn was sent. */
void client_backlogged(struct worker *worker, struct conn *conn);
void client_caught_up(struct worker *worker, struct conn *conn);
void client_flushed(struct worker *worker, struct conn *conn);

#endif
