/*
 * A connection's private memory: the received part of an unfinished message, and the frames that
 * the kernel has not taken. An idle connection has none. A connection is CONN_DIRTY while such
 * bytes exist nowhere else.
 *
 *   record.held = 0                no private memory
 *   record.held = 1 .. 2^31 - 1    a place in this turn's outbox (outbox.c)
 *   record.held = HELD | index     a struct hold, here
 */
#ifndef WSPUSHD_WORKER_HOLD_H
#define WSPUSHD_WORKER_HOLD_H

#include "proto/ws.h"
#include "worker/worker.h"

#include <stdio.h>

enum { HELD = 1u << 31 };

/* The memory that a frame in a backlog takes besides its bytes: struct chunk, its place in the
 * queue, and malloc(3)'s overhead for both. */
enum { HOLD_FRAME_WEIGHT = 64 };

/* The bytes of one frame, shared by every backlog in which it waits. */
struct chunk {
    uint32_t refs;
    uint32_t len;
    uint64_t expires_ms; /* of a push: after this it need not be sent; 0: never */
    uint64_t key;        /* of a push: a later push with the same key replaces it; 0: no key */
    uint8_t bytes[];
};

/* Returns an owned reference to a copy of the bytes. Never NULL: if memory runs out the process
 * aborts, and a successor takes over. */
struct chunk *chunk_new(const void *bytes, size_t len);
/* Like chunk_new, but reads the bytes from a stream; NULL if it ends early. */
struct chunk *chunk_read(FILE *in, size_t len);
struct chunk *chunk_ref(struct chunk *chunk);
void chunk_unref(struct chunk *chunk); /* accepts NULL */

/* A frame in a backlog. */
struct waiting {
    struct chunk *chunk;
    uint32_t sent; /* bytes that the kernel has taken */
    bool push;     /* counted as a push */
};

struct hold {
    struct conn_ref ref; /* the connection */
    uint32_t outbox;     /* place in this turn's outbox, or 0 */

    /* Input: a request head, or a message, received in part. */
    struct ws_rx rx;
    uint8_t *in;
    uint32_t in_len, in_size;

    /* Output: a queue of frames, oldest first. */
    struct waiting *queue;
    uint32_t first, count, size; /* a circular array; size is a power of two or 0 */
    uint32_t pushes;             /* number of pushes in the queue */
    uint32_t bytes;              /* unsent bytes of all of them */
    uint32_t shown;              /* `bytes` as last published to other processes: shm/backlog.h */
    uint64_t expires_ms;         /* the earliest expiry in the queue, or before it; 0: none
                                  * expires */
};

struct holds *holds_new(void);

/* True if bytes of the connection were lost with a dead process: takeover.c deals with it, and no
 * other code may touch it. */
static inline bool hold_lost(const struct worker *worker, const struct conn *conn)
{
    return conn_has(conn, CONN_DIRTY) && conn->incarnation != worker->incarnation;
}

/* Marks the connection dirty: until hold_settle(), bytes read from it or queued for it exist only
 * in this process. */
void hold_mark(struct worker *worker, struct conn *conn);

/* Returns the connection's hold, or NULL if it has none, or `held` leads to another's. */
struct hold *hold_find(const struct worker *worker, const struct conn *conn);

/* Returns the connection's hold, and makes it if there is none. */
struct hold *hold_get(struct worker *worker, struct conn *conn);

/* Appends to the partial message. */
void hold_append(struct hold *hold, const void *bytes, size_t len);

/* Frees the partial message's memory. */
void hold_clear_in(struct hold *hold);

/* Queues a frame and takes its reference. `before_pushes`: puts it ahead of all pushes; none of
 * them may be partly sent. */
void hold_queue(struct hold *hold, struct waiting frame, bool before_pushes);

/* Removes the oldest frame and drops its reference. */
void hold_shift(struct hold *hold);

/* Removes the oldest push that is wholly unsent. Other frames are never dropped: the client cannot
 * learn their contents in any other way. Returns false if there is no such push. */
bool hold_drop_oldest(struct hold *hold);

/* Removes all wholly unsent pushes. Returns their number. */
uint32_t hold_drop_pushes(struct hold *hold);

/* Removes the wholly unsent frames that have expired. Returns their number. */
uint32_t hold_expire(struct hold *hold, uint64_t now_ms);

/* Removes the wholly unsent frames with this key. Returns their number. */
uint32_t hold_replace(struct hold *hold, uint64_t key);

static inline struct waiting *hold_at(const struct hold *hold, uint32_t i)
{
    return &hold->queue[(hold->first + i) & (hold->size - 1)];
}

/* Returns the bytes of memory that the backlog takes, which `queue_limit` bounds. Many small frames
 * weigh more than their bytes. */
static inline uint64_t hold_weight(const struct hold *hold)
{
    return hold->bytes + (uint64_t)hold->count * HOLD_FRAME_WEIGHT;
}

/* True if the backlog takes more than `limit`. If it has a single push, that push does not count:
 * it may wait however large it is. */
bool hold_exceeds(const struct hold *hold, uint64_t limit);

/* Publishes the number of unsent bytes to other processes. Call when the queue has changed. */
void hold_show(struct worker *worker, const struct conn *conn);

/* Frees the hold's contents. Returns the number of unsent pushes dropped. */
uint32_t hold_empty(struct hold *hold);

/* Frees the hold if it is empty, and then marks the connection clean. Call after handling a
 * connection's input or output. */
void hold_settle(struct worker *worker, struct conn *conn);

/* Frees the hold with its contents. Returns the number of unsent pushes dropped. */
uint32_t hold_drop(struct worker *worker, struct conn *conn);

#endif
