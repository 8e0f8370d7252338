/*
 * A ring between two workers. A position is published by one store (of `tail` by the producer, of
 * `head` by the consumer), after the bytes before it were written or handled. So each end can die
 * at any instruction, and the next process that attaches finds complete entries and nothing else.
 *
 * Never blocks and wakes no worker; it only says when one is to be woken. An entry larger than
 * ring_entry_max never fits.
 *
 * Both ends are this program, but a faulty process can write anywhere in the segment. So neither
 * end believes an impossible position: the consumer then acts as if nothing had come, the producer
 * as if there were no room. Each end knows its own position and restores its own word (ring_check),
 * so nothing is lost while both ends live. If one of them has died, its successor cannot tell which
 * of the two positions is wrong; then the ring is emptied (ring_skip).
 */
#include "shm/ring.h"

#include "common/killpoint.h"

/* The parts of the word `tail`: a position, a multiple of 8, and the index of its origin. */
static uint64_t tail_word_position(uint64_t tail)
{
    return tail & ~(uint64_t)7;
}
static unsigned tail_word_origin(uint64_t tail)
{
    return tail & 1;
}

/* Returns the tail that the producer stored: another process may have overwritten the word. */
static uint64_t tail_as_stored(const struct ring *ring)
{
    return ring->own_tail;
}

/* Acquire: pairs with the release in ring_publish: the entries before it are complete. */
static uint64_t published_tail(const struct ring *ring)
{
    return tail_word_position(atomic_load_explicit(&ring->control->tail, memory_order_acquire));
}

/* Acquire: pairs with the release in ring_commit: the consumer reads nothing before it any more. */
static uint64_t committed_head(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->head, memory_order_acquire);
}

/* Returns the bytes that an entry takes in the ring, with its header and padding. */
static uint64_t entry_bytes_in_ring(uint32_t size)
{
    return (sizeof(struct ring_entry) + (uint64_t)size + 7) & ~(uint64_t)7;
}

static struct ring_entry *entry_at_position(const struct ring *ring, uint64_t position)
{
    return (struct ring_entry *)(void *)(ring->data + (position & (ring->size - 1)));
}

/* True if the tail can follow the head: they are at most the ring's size apart. */
static bool positions_in_order(const struct ring *ring, uint64_t head, uint64_t tail)
{
    return head % 8 == 0 && tail - head <= ring->size;
}

void ring_attach(struct ring *ring, struct ring_control *control, uint8_t *data, uint32_t size)
{
    *ring = (struct ring){.control = control, .data = data, .size = size};
    const uint64_t tail = atomic_load_explicit(&control->tail, memory_order_acquire);

    ring->next_tail = tail_word_position(tail);
    ring->past_origin =
        atomic_load_explicit(&control->origin[tail_word_origin(tail)], memory_order_relaxed);
    ring->next_origin = ring->past_origin;
    ring->next_head = committed_head(ring);
    ring->seen_head = ring->next_head;
    ring->seen_tail = ring->next_head;
    ring->own_tail = tail;
    ring->own_head = ring->next_head;
    if (!positions_in_order(ring, ring->next_head, ring->next_tail))
        ring->damage++;
}

/* True if an entry fits behind next_tail while the consumer's head is `head`. */
static bool entry_fits_behind(const struct ring *ring, uint64_t head, uint32_t size)
{
    const uint64_t used = ring->next_tail - head;

    return used <= ring->size && entry_bytes_in_ring(size) <= ring->size - used;
}

bool ring_fits(const struct ring *ring, uint32_t size)
{
    return entry_fits_behind(ring, ring->seen_head, size) ||
           entry_fits_behind(ring, committed_head(ring), size);
}

/* Fills an empty ring with a pad up to the end of its memory, if an entry of `size` bytes still
 * fits afterwards. */
static void pad_to_ring_start(struct ring *ring, uint32_t size)
{
    const uint64_t place = ring->next_tail & (ring->size - 1);
    const uint64_t left = ring->size - place;

    if (place < RING_QUIET || left < sizeof(struct ring_entry) || entry_bytes_in_ring(size) > place)
        return;
    ring->seen_head = committed_head(ring);
    if (ring->seen_head != ring->next_tail)
        return;
    *entry_at_position(ring, ring->next_tail) =
        (struct ring_entry){.size = (uint32_t)(left - sizeof(struct ring_entry)), .type = RING_PAD};
    ring->next_tail += left;
}

void *ring_reserve(struct ring *ring, uint32_t type, uint64_t origin, uint32_t size)
{
    struct ring_entry *entry;

    pad_to_ring_start(ring, size);
    if (!entry_fits_behind(ring, ring->seen_head, size)) {
        ring->seen_head = committed_head(ring);
        if (!entry_fits_behind(ring, ring->seen_head, size))
            return NULL;
    }
    entry = entry_at_position(ring, ring->next_tail);
    entry->size = size;
    entry->type = type;
    entry->origin = origin;
    ring->next_tail += entry_bytes_in_ring(size);
    if (origin != 0)
        ring->next_origin = origin;
    return entry->bytes;
}

bool ring_publish(struct ring *ring)
{
    const uint64_t tail = tail_as_stored(ring);
    const unsigned other = !tail_word_origin(tail);

    if (tail_word_position(tail) == ring->next_tail)
        return false;
    atomic_store_explicit(&ring->control->origin[other], ring->next_origin, memory_order_relaxed);
    KILLPOINT(RING_ORIGIN);
    /* Pairs with the acquire in published_tail and ring_attach: entries and origin come first. */
    atomic_store_explicit(&ring->control->tail, ring->next_tail | other, memory_order_release);
    KILLPOINT(RING_PUBLISHED);
    ring->own_tail = ring->next_tail | other;
    return true;
}

/* True if the producer waits for room. Relaxed: the producer's own word. */
static bool producer_wants_room(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->wants_room, memory_order_relaxed) != 0;
}

bool ring_want_room(struct ring *ring, uint32_t size)
{
    ring->seen_head = committed_head(ring);
    if (!producer_wants_room(
            ring)) { /* an earlier request noted an older head, and so misses nothing */
        ring->full_head = ring->seen_head;
        atomic_store_explicit(&ring->control->wants_room, 1, memory_order_relaxed);
        KILLPOINT(RING_WISHED);
    }
    return entry_fits_behind(ring, ring->seen_head, size);
}

bool ring_room_made(const struct ring *ring)
{
    /* The fence of latch_rest pairs with the one in ring_commit: this end stores wants_room and
     * then reads the head, the other end stores the head and then reads wants_room. So at least one
     * of them sees the other. The latch stores `sleeping` before the same fence, so latch_wake
     * wakes. */
    return producer_wants_room(ring) && committed_head(ring) != ring->full_head;
}

void ring_end_wish(struct ring *ring)
{
    if (producer_wants_room(ring))
        atomic_store_explicit(&ring->control->wants_room, 0, memory_order_relaxed);
}

bool ring_published_before(const struct ring *ring, uint64_t origin)
{
    return origin <= ring->past_origin;
}

const struct ring_entry *ring_take(struct ring *ring, uint64_t *end)
{
    const struct ring_entry *entry;

    do {
        if (ring->next_head == ring->seen_tail) {
            ring->seen_tail = published_tail(ring);
            if (ring->next_head == ring->seen_tail)
                return NULL;
            if (!positions_in_order(ring, ring->next_head, ring->seen_tail)) {
                ring->seen_tail = ring->next_head; /* impossible: act as if nothing had come */
                return NULL;
            }
        }
        entry = entry_at_position(ring, ring->next_head);
        const uint64_t room = entry_bytes_in_ring(entry->size);
        if (room >
            ring->seen_tail - ring->next_head) { /* it does not end where an entry can begin */
            ring_skip(ring);
            return NULL;
        }
        ring->next_head += room;
    } while (entry->type == RING_PAD);
    if (end != NULL)
        *end = ring->next_head;
    return entry;
}

void ring_cancel(struct ring *ring, const struct ring_entry *entry)
{
    /* One store, to a word that belongs to the consumer until the head has passed it. */
    struct ring_entry *own =
        (struct ring_entry *)(ring->data + ((const uint8_t *)entry - ring->data));
    own->type = RING_PAD;
}

bool ring_commit(struct ring *ring)
{
    struct ring_control *const control = ring->control;

    if (ring->next_head != atomic_load_explicit(&control->head, memory_order_relaxed)) {
        /* Pairs with the acquire in committed_head: the entries are not read after this. */
        atomic_store_explicit(&control->head, ring->next_head, memory_order_release);
        KILLPOINT(RING_COMMITTED);
        ring->own_head = ring->next_head;
        /* Pairs with the fence in latch_rest, which the producer executes before its last look for
         * room: see ring_room_made. */
        atomic_thread_fence(memory_order_seq_cst);
    }
    return atomic_load_explicit(&control->wants_room, memory_order_relaxed) != 0;
}

bool ring_ready(const struct ring *ring)
{
    /* True for 1 to ring->size bytes: an impossible distance counts as nothing. */
    return published_tail(ring) - committed_head(ring) - 1 < ring->size;
}

bool ring_doubtful(const struct ring *ring)
{
    return !positions_in_order(ring, committed_head(ring), published_tail(ring));
}

/* Restores a word that only this end writes. */
static void restore_own_word(struct ring *ring, _Atomic uint64_t *word, uint64_t value)
{
    if (atomic_load_explicit(word, memory_order_relaxed) == value)
        return;
    atomic_store_explicit(word, value, memory_order_release);
    ring->damage++;
}

void ring_check_producer(struct ring *ring)
{
    restore_own_word(ring, &ring->control->tail, ring->own_tail);
}

void ring_check_consumer(struct ring *ring)
{
    restore_own_word(ring, &ring->control->head, ring->own_head);
}

void ring_skip(struct ring *ring)
{
    ring->next_head = published_tail(ring);
    ring->seen_tail = ring->next_head;
    ring->damage++;
}

uint32_t ring_take_damage(struct ring *ring)
{
    const uint32_t damage = ring->damage;

    ring->damage = 0;
    return damage;
}

bool ring_valid(const struct ring *ring)
{
    const uint64_t tail = published_tail(ring);
    uint64_t at = committed_head(ring);

    if (!positions_in_order(ring, at, tail))
        return false;
    while (at != tail) {
        /* Check before reading: first the header, then the whole entry. */
        if (tail - at < sizeof(struct ring_entry))
            return false;
        const uint64_t room = entry_bytes_in_ring(entry_at_position(ring, at)->size);
        if (room > tail - at)
            return false;
        at += room;
    }
    return true;
}
