/*
 * The link's private data, for link.c and link_streams.c only: the fields that both use, and the
 * calls from link.c into link_streams.c.
 */
#ifndef WSPUSHD_WORKER_LINK_PRIVATE_H
#define WSPUSHD_WORKER_LINK_PRIVATE_H

#include "worker/worker.h"

#include <stddef.h>

/* This process's part of the link; the rest is in the slot (struct slot_link). */
struct link {
    /* link.c */
    struct redis_connect *connect;
    struct redis_login *login;
    struct event *retry;
    uint32_t retry_ms;
    uint64_t others_up; /* workers whose link was up at the last check, one bit each */
    bool asking;        /* a new connection: all subscriptions are being requested */
    bool is_unix;

    /* link_streams.c */
    struct event *readable, *writable; /* NULL: not connected yet */
    uint8_t *in, *out;                 /* the streams' memory, mapped twice in a row */
    uint32_t in_size, out_size;
    uint8_t *waiting; /* commands for which the out stream had no room */
    size_t waiting_len, waiting_size;
    bool blocked;       /* a ring was full: the socket is not read */
    uint64_t delivered; /* deliveries before the current batch, for its latency */
    bool hungry;        /* all complete replies are routed: an incomplete one is left */

    /* Used by both files; reset when a connection begins. */
    uint64_t heard_ms; /* when bytes last came */
    uint64_t moved_ms; /* when bytes last came or went */
};

static inline struct slot_link *link_shared(const struct worker *worker)
{
    return &worker->slot->link;
}

static inline enum link_state link_state(const struct worker *worker)
{
    return (enum link_state)atomic_load_explicit(&link_shared(worker)->state, memory_order_relaxed);
}

static inline int link_fd(const struct worker *worker)
{
    return atomic_load_explicit(&link_shared(worker)->fd, memory_order_relaxed);
}

/* ---- The life of the streams: link_streams.c, called by link.c ---- */

/* Opens the slot's streams, as a predecessor may have left them. Returns 0, or -1 with errno. */
int link_streams_open(struct worker *worker);

/* Starts on a new connection: records the kernel's byte counts, and reads it. */
void link_streams_begin(struct worker *worker, int fd);

/* Continues a predecessor's connection at the position that the kernel's byte counts give, and
 * reads it. Returns false, without having touched the socket, if bytes were lost. */
bool link_streams_resume(struct worker *worker, int fd);

/* Stops watching the socket, and drops the commands that waited for it in this process. */
void link_streams_end(struct worker *worker);

/* Discards the slot's bytes of a closed connection. Works without link_streams_open. */
void link_streams_forget(struct worker *worker);

#endif
