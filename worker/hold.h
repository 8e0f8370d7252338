/*
 * Private memory of connections: the part of a message that has come, and the frames that the
 * kernel did not take. An idle connection has none. A connection that has some is CONN_DIRTY
 * where those bytes are nowhere else.
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

/* What a frame in a backlog takes beside its bytes: struct chunk, its place in the queue, and what
 * malloc(3) needs of both. */
enum { HOLD_FRAME_WEIGHT = 64 };

/* The bytes of one frame, shared by every backlog that it waits in. */
struct chunk {
    uint32_t refs;
    uint32_t len;
    uint64_t expires_ms; /* of a push: when it need not be sent any more; 0: never */
    uint64_t key;        /* of a push: a later one with the same takes its place; 0: none does */
    uint8_t bytes[];
};

/* Returns an owned reference to a copy of the bytes. Never NULL: out of memory ends the process,
 * and a successor takes over. */
struct chunk *chunk_new(const void *bytes, size_t len);
/* The same from a stream; NULL where it has not so many. */
struct chunk *chunk_read(FILE *in, size_t len);
struct chunk *chunk_ref(struct chunk *chunk);
void chunk_unref(struct chunk *chunk); /* NULL is let pass */

/* A frame in a backlog. */
struct waiting {
    struct chunk *chunk;
    uint32_t sent; /* bytes that the kernel already took */
    bool push;     /* counted in the books of pushes */
};

struct hold {
    struct conn_ref ref; /* whose it is */
    uint32_t outbox;     /* place in this turn's outbox, or 0 */

    /* What came: a request head in pieces, or a message in pieces. */
    struct ws_rx rx;
    uint8_t *in;
    uint32_t in_len, in_size;

    /* What goes: a queue of frames, oldest first. */
    struct waiting *queue;
    uint32_t first, count, size; /* a circular array; size is a power of two or 0 */
    uint32_t pushes;             /* how many of them are pushes */
    uint32_t bytes;              /* unsent bytes of all of them */
    uint32_t shown;              /* the same as others see it: shm/backlog.h */
    uint64_t expires_ms;         /* none of them expires before; 0: none ever does */
};

struct holds *holds_new(void);

/* Whether bytes of the connection were only in the memory of a process that is dead: takeover.c
 * deals with it, and nobody else may touch it. */
static inline bool hold_lost(const struct worker *worker, const struct conn *conn)
{
    return conn_has(conn, CONN_DIRTY) && conn->incarnation != worker->incarnation;
}

/* Bytes of the connection are leaving the kernel, or are made for it: until hold_settle they are
 * only here. */
void hold_mark(struct worker *worker, struct conn *conn);

/* Returns the connection's hold, or NULL: if it has none, or `held` leads to that of another. */
struct hold *hold_find(const struct worker *worker, const struct conn *conn);

/* The same, made if there is none. */
struct hold *hold_get(struct worker *worker, struct conn *conn);

/* Appends to the partial message. */
void hold_append(struct hold *hold, const void *bytes, size_t len);

/* Frees the partial message's memory. */
void hold_clear_in(struct hold *hold);

/* Queues a frame; takes the reference. `before_pushes`: none of which is partly sent. */
void hold_queue(struct hold *hold, struct waiting frame, bool before_pushes);

/* Removes the oldest frame and drops its reference. */
void hold_shift(struct hold *hold);

/* Removes the oldest push of which nothing was sent. Other frames are never dropped: they tell the
 * client what it cannot learn in any other way. Returns false if there is no such push. */
bool hold_drop_oldest(struct hold *hold);

/* Removes all pushes of which nothing was sent. Returns how many. */
uint32_t hold_drop_pushes(struct hold *hold);

/* Removes the frames whose time is over and of which nothing was sent. Returns how many. */
uint32_t hold_expire(struct hold *hold, uint64_t now_ms);

/* Removes the frames with this key of which nothing was sent. Returns how many. */
uint32_t hold_replace(struct hold *hold, uint64_t key);

static inline struct waiting *hold_at(const struct hold *hold, uint32_t i)
{
    return &hold->queue[(hold->first + i) & (hold->size - 1)];
}

/* The memory that the backlog takes: what `queue_limit` bounds. Many small frames weigh more than
 * their bytes. */
static inline uint64_t hold_weight(const struct hold *hold)
{
    return hold->bytes + (uint64_t)hold->count * HOLD_FRAME_WEIGHT;
}

/* True if the backlog takes more than `limit`, not counting one push, which may wait however large
 * it is. */
bool hold_exceeds(const struct hold *hold, uint64_t limit);

/* Lets others see how many bytes wait: call when the queue has changed. */
void hold_show(struct worker *worker, const struct conn *conn);

/* Frees what is in it, and returns the number of unsent pushes that go with it. */
uint32_t hold_empty(struct hold *hold);

/* Gives the hold back if nothing is left in it, and then marks the connection clean. Call when done
 * with a connection's input or output. */
void hold_settle(struct worker *worker, struct conn *conn);

/* Gives it back whatever is in it; returns the number of unsent pushes that go with it. */
uint32_t hold_drop(struct worker *worker, struct conn *conn);

#endif
