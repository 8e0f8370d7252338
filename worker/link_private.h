/*
 * The link's inside, for link.c and link_streams.c alone: what both see of it, and what the life of
 * the link asks of its streams.
 */
#ifndef WSPUSHD_WORKER_LINK_PRIVATE_H
#define WSPUSHD_WORKER_LINK_PRIVATE_H

#include "worker/worker.h"

#include <stddef.h>

/* What this process keeps of the link; the rest is in the slot (struct slot_link). */
struct link {
    /* link.c */
    struct redis_connect *connect;
    struct redis_login *login;
    struct event *retry;
    uint32_t retry_ms;
    uint64_t others_up; /* workers whose link was up at the last look: one bit each */
    bool asking;        /* a new connection: everything is being asked for */
    bool is_unix;

    /* link_streams.c */
    struct event *readable, *writable; /* NULL: not connected yet */
    uint8_t *in, *out;                 /* the streams' memory, mapped twice in a row */
    uint32_t in_size, out_size;
    uint8_t *waiting; /* commands that the out stream had no room for */
    size_t waiting_len, waiting_size;
    bool blocked;       /* a ring was full: the socket is not read */
    uint64_t delivered; /* deliveries before the batch in hand, for its latency */
    bool hungry;        /* all that is whole is routed: what is left is the beginning of a reply */

    /* Both: set anew when a connection begins. */
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

/* Finds the slot's streams, as a predecessor may have left them. Returns 0, or -1 with errno. */
int link_streams_open(struct worker *worker);

/* A connection is made: its bytes are counted from here on, and it is read. */
void link_streams_begin(struct worker *worker, int fd);

/* A predecessor's connection: goes on where the kernel's counts say that it is, and reads it.
 * Returns false, and has done nothing to the socket, where bytes were lost. */
bool link_streams_resume(struct worker *worker, int fd);

/* The socket is not looked at any more, what waited in this process for it is dropped. */
void link_streams_end(struct worker *worker);

/* The slot's bytes of a connection that is gone. Needs no link_streams_open. */
void link_streams_forget(struct worker *worker);

#endif
