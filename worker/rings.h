/*
 * What workers tell each other. A ring entry is one of the messages below.
 */
#ifndef WSPUSHD_WORKER_RINGS_H
#define WSPUSHD_WORKER_RINGS_H

#include "worker/worker.h"

/* X(NAME, handler, check): each handler gets the entry's bytes and the mark that pushes in it bear,
 * if the check finds that the entry is as long as its own lengths say. */
#define RING_MESSAGES(X)                                                                           \
    X(ADOPT, on_adopt, is_adoption)       /* struct adoption: a connection comes home */           \
    X(ORPHAN, on_orphan, is_conn_ref)     /* struct conn_ref: end it if it has not arrived */      \
    X(ALL, on_all, is_any)                /* a push as Redis sent it, for every connection */      \
    X(USERS, on_users, is_any)            /* a push as Redis sent it, for users in its envelope */ \
    X(TOPIC, on_topic, is_topic_push)     /* a push to a topic: length and bytes of its name */    \
    X(INTEREST, on_interest, is_interest) /* struct interest: a topic is wanted, or comes */       \
    X(CTL, on_ctl, is_any)                /* a command of push:ctl as Redis sent it */             \
    X(PROBE, on_probe, is_any)            /* the probe of /readyz */

enum ring_message {
#define RING_ENUM(name, handler, check) RING_##name,
    RING_MESSAGES(RING_ENUM)
#undef RING_ENUM
        RING_MESSAGE_COUNT
};

/* An entry's `type` is the message in its low byte and, above it, when the bytes of a push came
 * from Redis (latency_stamp). */
enum { RING_MESSAGE_MASK = 0xff, RING_STAMP_SHIFT = 8 };
_Static_assert((int)RING_MESSAGE_COUNT < (int)RING_MESSAGE_MASK, "RING_PAD is no message");

/* Maps and attaches both ends' rings. Returns 0, or -1 with errno. */
int rings_open(struct worker *worker);

/* Whether any ring has something to take, or the room that this turn lacked. */
bool rings_ready(const struct worker *worker);

/* Handles what the ring from worker `from` has, as one batch. */
void rings_read(struct worker *worker, uint32_t from);

/* Takes the wishes for room back, once in each turn: whoever still lacks it wishes again. */
void rings_end_wishes(struct worker *worker);

/* What the ring from another worker is called in conn_mark. */
#define RING_SOURCE(from) ((from) + 1)

/* After a death: handles and commits what comes from `source`, if that is a ring, up to position
 * `end`, however long it takes. */
void rings_resume(struct worker *worker, uint32_t source, uint64_t end);

/* After a death: carries out the adoptions in the rings, ahead of everything else in them. */
void rings_adopt_again(struct worker *worker);

/* A batch from `source`, if that is a ring, that ends at `end` is left unfinished for this turn:
 * finishes its adoptions. */
void rings_left(struct worker *worker, uint32_t source, uint64_t end);

/* Whether an entry of `size` bytes fits into the ring to worker `to` now. Where it does not, what
 * was reserved there is made visible, and this worker is woken when there is more room. */
bool rings_room(struct worker *worker, uint32_t to, uint32_t size);

/* Makes what was reserved for worker `to` visible; it is woken at the end of the turn. */
void rings_publish(struct worker *worker, uint32_t to);

/* The same for every worker: before the bytes that it stems from are committed. */
void rings_commit_out(struct worker *worker);

/* A piece of a message. */
struct ring_piece {
    const void *at;
    size_t len;
};

/* Copies a message, given in pieces, to each other worker that has its bit in `to`. Returns false
 * where one ring has no room: then none has got it, and this worker is woken when there is room.
 * Workers that got this origin before a death are left out. */
bool rings_copy(struct worker *worker, uint64_t to, enum ring_message type, uint64_t origin,
                const struct ring_piece *piece, size_t pieces);

/* The same to every other worker. */
bool rings_broadcast(struct worker *worker, enum ring_message type, uint64_t origin,
                     const void *bytes, size_t len);

/* Wakes worker `to` at the end of the turn. */
void rings_poke(struct worker *worker, uint32_t to);

/* A word of this slot has changed that others wait for: makes them look. */
void rings_tell_all(struct worker *worker);

/* What this worker has been told so far: differs when there is something new to look at. */
uint32_t rings_news(const struct worker *worker);

/* End of the turn: wakes whoever has something new. */
void rings_turn(struct worker *worker);

#endif
