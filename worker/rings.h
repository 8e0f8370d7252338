/*
 * The messages between workers. A ring entry is one of those listed below.
 */
#ifndef WSPUSHD_WORKER_RINGS_H
#define WSPUSHD_WORKER_RINGS_H

#include "worker/worker.h"

/* X(NAME, handler, check). Each handler gets the entry's bytes and the mark of pushes in it,
 * provided that the check finds the entry's size to match the lengths inside it. */
#define RING_MESSAGES(X)                                                                        \
    X(ADOPT, ring_on_adopt, is_adoption)       /* struct adoption: a connection for its home */ \
    X(ORPHAN, ring_on_orphan, is_conn_ref)     /* struct conn_ref: end it unless adopted */     \
    X(ALL, ring_on_all, is_any)                /* a push as Redis sent it, for all clients */   \
    X(USERS, ring_on_users, is_any)            /* a push as Redis sent it, for several users */ \
    X(TOPIC, ring_on_topic, is_topic_push)     /* length and bytes of a topic's name, a push */ \
    X(INTEREST, ring_on_interest, is_interest) /* struct interest: about members of a topic */  \
    X(CTL, ring_on_ctl, is_any)                /* a command of push:ctl as Redis sent it */     \
    X(PROBE, ring_on_probe, is_any)            /* the probe of /readyz */

enum ring_message {
#define RING_ENUM(name, handler, check) RING_##name,
    RING_MESSAGES(RING_ENUM)
#undef RING_ENUM
        RING_MESSAGE_COUNT
};

/* An entry's `type` is the message in its low byte; the bits above are the time at which the bytes
 * of a push came from Redis (latency_stamp). */
enum { RING_MESSAGE_MASK = 0xff, RING_STAMP_SHIFT = 8 };
_Static_assert((int)RING_MESSAGE_COUNT < (int)RING_MESSAGE_MASK, "RING_PAD is not a message");

/* Maps the rings and attaches this worker's ends. Returns 0, or -1 with errno. */
int rings_open(struct worker *worker);

/* True if any ring has an entry to read, or the room that this turn lacked. */
bool rings_ready(const struct worker *worker);

/* Handles the entries in the ring from worker `from`, as one batch. */
void rings_read(struct worker *worker, uint32_t from);

/* Clears pending requests for room, once in each turn; a producer that still lacks room asks again
 * in this turn. */
void rings_end_wishes(struct worker *worker);

/* The number in conn_mark of the ring from a worker. */
#define RING_SOURCE(from) ((from) + 1)

/* After a death: handles and commits the entries from `source`, if that is a ring, up to position
 * `end`, however long it takes. */
void rings_resume(struct worker *worker, uint32_t source, uint64_t end);

/* After a death: carries out the adoptions in all rings, ahead of other entries. */
void rings_adopt_again(struct worker *worker);

/* Finishes the adoptions of a batch from `source`, if that is a ring, that ends at `end` and stays
 * unfinished in this turn. */
void rings_left(struct worker *worker, uint32_t source, uint64_t end);

/* True if an entry of `size` bytes fits into the ring to worker `to` now. If not, reserved entries
 * there are published, and this worker is woken when there is more room. */
bool rings_room(struct worker *worker, uint32_t to, uint32_t size);

/* Publishes the entries reserved for worker `to`, which is woken at the end of the turn. */
void rings_publish(struct worker *worker, uint32_t to);

/* Does the same for every worker. Call it before the input that the entries result from is
 * committed. */
void rings_commit_out(struct worker *worker);

/* A piece of a message; borrowed. */
struct ring_piece {
    const void *at;
    size_t len;
};

/* Copies a message, given in pieces, to each other worker whose bit is set in `to`. Returns false
 * if one ring has no room: then no worker gets it, and this one is woken when there is room.
 * Workers that got this origin before a death are left out. */
bool rings_copy(struct worker *worker, uint64_t to, enum ring_message type, uint64_t origin,
                const struct ring_piece *piece, size_t pieces);

/* Does the same for every other worker. */
bool rings_broadcast(struct worker *worker, enum ring_message type, uint64_t origin,
                     const void *bytes, size_t len);

/* Wakes worker `to` at the end of the turn. */
void rings_poke(struct worker *worker, uint32_t to);

/* Wakes all other workers, because a word of this slot that they may wait for has changed. */
void rings_tell_all(struct worker *worker);

/* Returns a number that differs from before if the master has given a command or any worker has
 * called rings_tell_all since. */
uint32_t rings_news(const struct worker *worker);

/* Wakes the workers noted by rings_poke. Call it at the end of each turn. */
void rings_turn(struct worker *worker);

#endif
