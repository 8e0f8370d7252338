/*
 * The life of a client's connection in its owner: what its socket's events mean in each state, and
 * the ways it ends. shm/conn.h draws the states.
 */
#ifndef WSPUSHD_WORKER_CLIENT_H
#define WSPUSHD_WORKER_CLIENT_H

#include "worker/worker.h"

#include <stddef.h>

/* Why a connection ended: names a counter. X(name, field of struct stats) */
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

/* Handles the events of the slot's epoll set, at most a few hundred at a time. */
void clients_ready(struct worker *worker);

/* Registers a connection in the slot's epoll set. Returns 0, or -1 with errno. */
int client_watch(struct worker *worker, struct conn *conn);

/* Takes it out again: nothing is read, and an end not noticed, until it is watched. */
void client_unwatch(struct worker *worker, struct conn *conn);

/* Takes bytes that came from an upgraded client; unmasks them in place. */
void client_feed(struct worker *worker, struct conn *conn, uint8_t *bytes, size_t len);

/* Frees the record and closes the socket, now. Counts nothing but `reason`, and that only for an
 * upgraded connection. */
void client_end(struct worker *worker, struct conn *conn, enum closed_reason reason);

/* Sends a close frame, takes the connection out of the user index, and waits for the peer to close:
 * CLOSING. The pushes of its backlog are dropped, but for one that is partly sent; what else waits
 * there goes before the close frame. */
void client_close(struct worker *worker, struct conn *conn, uint16_t code, const char *text,
                  enum closed_reason reason);

/* Called by the outbox: what the kernel did not take is in the backlog now; the backlog is empty
 * again; everything of this turn was sent. */
void client_backlogged(struct worker *worker, struct conn *conn);
void client_caught_up(struct worker *worker, struct conn *conn);
void client_flushed(struct worker *worker, struct conn *conn);

#endif
