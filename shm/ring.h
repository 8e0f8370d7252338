/*
 * A ring of bytes from one worker to another: one producer, one consumer, no lock. There is one
 * for every ordered pair of workers.
 *
 *      head (consumer's)             tail (producer's)
 *        v                             v
 *   -----+--------+------+-------------+--------------------
 *        | entry  | e.   | entry       |  free
 *   -----+--------+------+-------------+--------------------
 *        each: | size u32 | type u32 | origin u64 | bytes, padded to 8 |
 *
 * Positions count bytes since the ring was made and never go back; position modulo size is the
 * place. The bytes are mapped twice in a row (segment_mirror), so that an entry never wraps. An
 * entry begins at a multiple of 8.
 *
 * The producer writes entries behind the tail, then stores the tail (release). The consumer
 * loads the tail (acquire), handles entries, and stores the head (release) when what they asked
 * for is done. Both positions are in shared memory and nothing else is: whoever succeeds a dead
 * producer or consumer goes on from there. Entries not yet published are lost with their producer,
 * who makes them again from what it had not committed; entries handled but not committed are
 * handled again.
 *
 * So that the producer's successor makes none again that was published, the tail is stored together
 * with the origin of the last published entry. One store cannot hold both, but it can choose: bit 0
 * of the tail's word, which no position needs, says which of the two `origin`s belongs to it.
 * Entries of one origin are to be published together.
 *
 * A full ring is back-pressure: ring_reserve says no, and `wants_room` asks the consumer to wake
 * the producer after its next commit. Its commit may come while the producer is still awake, and
 * then nobody is woken: so before it sleeps, the producer asks ring_room_made, in the order of the
 * latch (shm/slot.h).
 *
 * shm/ring.pml is the model of all this: who changes the order of steps changes it first.
 */
#ifndef WSPUSHD_SHM_RING_H
#define WSPUSHD_SHM_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring_control {
    /* Written by the producer. */
    _Alignas(64) _Atomic uint64_t tail; /* end of the published entries; bit 0: which `origin` */
    _Atomic uint64_t origin[2];         /* [bit 0]: of the last published entry that had one */
    _Atomic uint32_t wants_room;        /* 1: wake me when there is room */
    /* Written by the consumer. */
    _Alignas(64) _Atomic uint64_t head; /* everything before it is done */
};
_Static_assert(sizeof(struct ring_control) == 128, "a cache line for each writer");
_Static_assert(offsetof(struct ring_control, head) == 64, "the consumer's line");

/* A producer that finds the ring empty beyond this place goes back to the start of its memory, so
 * that a quiet ring touches only its first pages: it fills up to the end with one RING_PAD, which
 * the consumer never sees. So are entries that the consumer has cancelled. */
enum { RING_QUIET = 16 * 1024 };
#define RING_PAD UINT32_MAX

struct ring_entry {
    uint32_t size;   /* bytes that follow this header, without the padding */
    uint32_t type;   /* the users' own; RING_PAD: ours */
    uint64_t origin; /* position in the producer's input that the entry stems from; 0: none */
    uint8_t bytes[];
};
_Static_assert(sizeof(struct ring_entry) == 16, "as drawn");

/* One end's view of a ring. Each end remembers where it last saw the other, and looks at the
 * other's cache line again only when that is not enough to go on. */
struct ring {
    struct ring_control *control;
    uint8_t *data; /* mapped twice in a row */
    uint32_t size;
    /* Used by the producer. */
    uint64_t next_tail;   /* end of the entries written, published or not */
    uint64_t next_origin; /* origin of the last of them that had one */
    uint64_t past_origin; /* origin of the last that a dead predecessor published */
    uint64_t seen_head;   /* the head, some time ago */
    uint64_t full_head;   /* the head that left no room, when that was wished for */
    uint64_t own_tail;    /* the tail as this end stored it, with bit 0 */
    /* Used by the consumer. */
    uint64_t next_head; /* end of the entries taken, committed or not */
    uint64_t seen_tail; /* the tail, some time ago */
    uint64_t own_head;  /* the head as this end stored it */
    uint32_t damage;    /* how often a word was found wrong since ring_take_damage */
};

/* Takes up an end where the last process left it. */
void ring_attach(struct ring *ring, struct ring_control *control, uint8_t *data, uint32_t size);

/* The largest entry that ever fits; a larger one never will. */
static inline uint32_t ring_entry_max(const struct ring *ring)
{
    return ring->size - (uint32_t)sizeof(struct ring_entry);
}

/* Producer: room for an entry of `size` bytes, to be filled in by the caller before ring_publish;
 * NULL where the ring is full. */
void *ring_reserve(struct ring *ring, uint32_t type, uint64_t origin, uint32_t size);

/* Producer: whether an entry of `size` bytes would fit now. */
bool ring_fits(const struct ring *ring, uint32_t size);

/* Producer: makes what was reserved visible. Returns whether there was anything. */
bool ring_publish(struct ring *ring);

/* Producer: looks again, and wishes to be woken when there is more room. Returns whether `size`
 * fits by now. */
bool ring_want_room(struct ring *ring, uint32_t size);

/* Producer: whether there is more since it wished. Asked between latch_rest and sleep. */
bool ring_room_made(const struct ring *ring);

/* Producer: takes the wish back, its own or a predecessor's. Who still lacks room wishes again. */
void ring_end_wish(struct ring *ring);

/* Producer, after taking over: whether its predecessors published the entries of this origin. */
bool ring_published_before(const struct ring *ring, uint64_t origin);

/* Consumer: the next entry, or NULL; stays valid until ring_commit. *end (may be NULL) gets the
 * position behind it. */
const struct ring_entry *ring_take(struct ring *ring, uint64_t *end);

/* Consumer: an entry that is published and not committed is done already: whoever takes the ring up
 * does not see it. */
void ring_cancel(struct ring *ring, const struct ring_entry *entry);

/* Consumer: everything taken is done. Returns whether the producer waits for room: wake it. A
 * successor commits once at the start, for its predecessor may have died before the wake-up. */
bool ring_commit(struct ring *ring);

/* Either: whether there are entries published and not committed. */
bool ring_ready(const struct ring *ring);

/* Producer, consumer: each looks at the words that only it writes, and puts right what somebody
 * else has written over. Once a turn, while nothing is reserved and unpublished, or taken and
 * uncommitted. */
void ring_check_producer(struct ring *ring);
void ring_check_consumer(struct ring *ring);

/* True if head and tail cannot both be right. If that lasts, neither end can put it right. */
bool ring_doubtful(const struct ring *ring);

/* Consumer: gives up everything that is in the ring. To be followed by ring_commit. */
void ring_skip(struct ring *ring);

/* Returns how often this end has found a word wrong since the last call. */
uint32_t ring_take_damage(struct ring *ring);

/* Whether positions are in order and the published entries follow one another exactly. Asked while
 * the consumer rests. */
bool ring_valid(const struct ring *ring);

#endif
