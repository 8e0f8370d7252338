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
 * Positions count the bytes since the ring was made and never go back; position modulo size is the
 * offset in memory. The memory is mapped twice in a row (segment_mirror), so that an entry never
 * wraps. Entries begin at multiples of 8.
 *
 * The producer writes entries behind the tail, then stores the tail (release). The consumer loads
 * the tail (acquire), handles entries, and stores the head (release) once they are done. Both
 * positions are in shared memory, and the successor of a producer or consumer continues there.
 * Entries not yet published die with their producer, whose successor makes them again from the
 * input that it had not committed; entries handled but not committed are handled again.
 *
 * The producer's successor must not repeat entries that were published. So the tail is stored
 * together with the origin of the last published entry. One store cannot hold both, but it can
 * choose: bit 0 of the tail's word, which no position needs, says which of the two `origin`s
 * belongs to it. The producer must publish all entries of one origin together.
 *
 * A full ring is back-pressure: ring_reserve returns NULL, and `wants_room` asks the consumer to
 * wake the producer after its next commit. If that commit comes while the producer is still awake,
 * it wakes nobody: so before the producer sleeps, it calls ring_room_made, in the order of the
 * latch (shm/slot.h).
 *
 * shm/ring.pml is the model of all this. To change the order of steps, change the model first.
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
    _Atomic uint32_t wants_room;        /* 1: the consumer is to wake the producer on a commit */
    /* Written by the consumer. */
    _Alignas(64) _Atomic uint64_t head; /* all entries before it are done */
};
_Static_assert(sizeof(struct ring_control) == 128, "a cache line for each writer");
_Static_assert(offsetof(struct ring_control, head) == 64, "the consumer's line");

/* Keeps a quiet ring in its first pages: a producer that finds the ring empty beyond this offset
 * fills the rest of the memory with one RING_PAD entry and continues at the start. The consumer's
 * ring_take skips pads. A cancelled entry becomes a pad, too. */
enum { RING_QUIET = 16 * 1024 };
#define RING_PAD UINT32_MAX

struct ring_entry {
    uint32_t size;   /* bytes that follow this header, without the padding */
    uint32_t type;   /* chosen by the caller of ring_reserve; RING_PAD is reserved */
    uint64_t origin; /* position in the producer's input that the entry comes from; 0: none */
    uint8_t bytes[];
};
_Static_assert(sizeof(struct ring_entry) == 16, "as drawn");

/* One end's view of a ring. Each end remembers the other's last known position, and reads the
 * other's cache line again only when that no longer suffices. */
struct ring {
    struct ring_control *control;
    uint8_t *data; /* mapped twice in a row */
    uint32_t size; /* bytes, a power of two */
    /* Used by the producer. */
    uint64_t next_tail;   /* end of the entries written, published or not */
    uint64_t next_origin; /* origin of the last of them that had one */
    uint64_t past_origin; /* origin of the last that a dead predecessor published */
    uint64_t seen_head;   /* the head when it was last read */
    uint64_t full_head;   /* the head when the ring was full and wants_room was set */
    uint64_t own_tail;    /* the tail as this end stored it, with bit 0 */
    /* Used by the consumer. */
    uint64_t next_head; /* end of the entries taken, committed or not */
    uint64_t seen_tail; /* the tail when it was last read */
    uint64_t own_head;  /* the head as this end stored it */
    uint32_t damage;    /* damaged words found since the last ring_take_damage */
};

/* Sets up one end where its last process left it. Borrows `control` and `data`. */
void ring_attach(struct ring *ring, struct ring_control *control, uint8_t *data, uint32_t size);

/* Returns the size of the largest entry that can ever fit, in bytes. */
static inline uint32_t ring_entry_max(const struct ring *ring)
{
    return ring->size - (uint32_t)sizeof(struct ring_entry);
}

/* Producer: reserves an entry of `size` bytes. Returns its bytes, which the caller fills before
 * ring_publish, or NULL if the ring is full. */
void *ring_reserve(struct ring *ring, uint32_t type, uint64_t origin, uint32_t size);

/* Producer: true if an entry of `size` bytes would fit now. */
bool ring_fits(const struct ring *ring, uint32_t size);

/* Producer: makes the reserved entries visible. Returns false if there were none. */
bool ring_publish(struct ring *ring);

/* Producer: asks to be woken when there is more room. Returns true if `size` bytes fit already. */
bool ring_want_room(struct ring *ring, uint32_t size);

/* Producer: true if room was made since ring_want_room. Call between latch_rest and sleep. */
bool ring_room_made(const struct ring *ring);

/* Producer: withdraws the request for room, its own or a predecessor's. A producer that still lacks
 * room must ask again. */
void ring_end_wish(struct ring *ring);

/* Producer, after taking over: true if its predecessors published the entries of this origin. */
bool ring_published_before(const struct ring *ring, uint64_t origin);

/* Consumer: returns the next entry, or NULL. It stays valid until ring_commit. *end, unless NULL,
 * is set to the position behind it. */
const struct ring_entry *ring_take(struct ring *ring, uint64_t *end);

/* Consumer: marks an entry that is published and not committed as done already: this consumer's
 * successor does not see it. */
void ring_cancel(struct ring *ring, const struct ring_entry *entry);

/* Consumer: commits all entries taken. Returns true if the producer waits for room: wake it. A
 * successor commits once at the start, because its predecessor may have died before the wake-up. */
bool ring_commit(struct ring *ring);

/* Either end: true if there are entries published and not committed. */
bool ring_ready(const struct ring *ring);

/* Producer, consumer: restores the words that only this end writes, if another process has
 * overwritten them. Call once a turn, while nothing is reserved and unpublished, or taken and
 * uncommitted. */
void ring_check_producer(struct ring *ring);
void ring_check_consumer(struct ring *ring);

/* True if head and tail contradict each other. If that lasts, neither end can restore them. */
bool ring_doubtful(const struct ring *ring);

/* Consumer: discards everything in the ring. Must be followed by ring_commit. */
void ring_skip(struct ring *ring);

/* Returns how many damaged words this end has found since the last call. */
uint32_t ring_take_damage(struct ring *ring);

/* True if the positions are in order and the published entries follow each other without a gap.
 * Call while the consumer does nothing. */
bool ring_valid(const struct ring *ring);

#endif
