/*
 * A ring between two workers. A position is published by one store (of `tail` by the producer, of
 * `head` by the consumer), and what it stands for was written before: so each end can die at any
 * instruction, and whoever attaches next finds whole entries and nothing else.
 *
 * Never blocks and wakes nobody; it only says when somebody is to be woken. An entry larger than
 * ring_entry_max never fits.
 *
 * Both ends are this program, but a process that goes wrong can write anywhere in the segment. So
 * neither end believes a position that cannot be: for the consumer nothing has come then, and for
 * the producer there is no room. Each end knows its own position and puts its own word right
 * (ring_check), so nothing is lost while both ends live. If one of them has died, its successor
 * cannot tell which of two positions is wrong; then the ring is emptied (ring_skip).
 */
#include "shm/ring.h"

#include "common/killpoint.h"

/* The parts of the word that `tail` is: an entry's position is a multiple of 8. */
static uint64_t tail_position(uint64_t tail)
{
    return tail & ~(uint64_t)7;
}
static unsigned tail_origin(uint64_t tail)
{
    return tail & 1;
}

/* What the producer has stored: not the word itself, which others may have written over. */
static uint64_t own_tail(const struct ring *ring)
{
    return ring->own_tail;
}

/* Pairs with the release in ring_publish: entries before it are whole. */
static uint64_t published(const struct ring *ring)
{
    return tail_position(atomic_load_explicit(&ring->control->tail, memory_order_acquire));
}

/* Pairs with the release in ring_commit: the consumer reads nothing before it any more. */
static uint64_t committed(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->head, memory_order_acquire);
}

/* What an entry of `size` bytes takes, with its header and padding. */
static uint64_t entry_room(uint32_t size)
{
    return (sizeof(struct ring_entry) + (uint64_t)size + 7) & ~(uint64_t)7;
}

static struct ring_entry *entry_at(const struct ring *ring, uint64_t position)
{
    return (struct ring_entry *)(void *)(ring->data + (position & (ring->size - 1)));
}

/* True if the tail can follow the head: no more lies between them than the ring holds. */
static bool in_order(const struct ring *ring, uint64_t head, uint64_t tail)
{
    return head % 8 == 0 && tail - head <= ring->size;
}

void ring_attach(struct ring *ring, struct ring_control *control, uint8_t *data, uint32_t size)
{
    *ring = (struct ring){.control = control, .data = data, .size = size};
    const uint64_t tail = atomic_load_explicit(&control->tail, memory_order_acquire);

    ring->next_tail = tail_position(tail);
    ring->past_origin =
        atomic_load_explicit(&control->origin[tail_origin(tail)], memory_order_relaxed);
    ring->next_origin = ring->past_origin;
    ring->next_head = committed(ring);
    ring->seen_head = ring->next_head;
    ring->seen_tail = ring->next_head;
    ring->own_tail = tail;
    ring->own_head = ring->next_head;
    if (!in_order(ring, ring->next_head, ring->next_tail))
        ring->damage++;
}

static bool fits_behind(const struct ring *ring, uint64_t head, uint32_t size)
{
    const uint64_t used = ring->next_tail - head;

    return used <= ring->size && entry_room(size) <= ring->size - used;
}

bool ring_fits(const struct ring *ring, uint32_t size)
{
    return fits_behind(ring, ring->seen_head, size) || fits_behind(ring, committed(ring), size);
}

/* Fills an empty ring up to the end of its memory, if `size` still fits then. */
static void skip_to_start(struct ring *ring, uint32_t size)
{
    const uint64_t place = ring->next_tail & (ring->size - 1);
    const uint64_t left = ring->size - place;

    if (place < RING_QUIET || left < sizeof(struct ring_entry) || entry_room(size) > place)
        return;
    ring->seen_head = committed(ring);
    if (ring->seen_head != ring->next_tail)
        return;
    *entry_at(ring, ring->next_tail) =
        (struct ring_entry){.size = (uint32_t)(left - sizeof(struct ring_entry)), .type = RING_PAD};
    ring->next_tail += left;
}

void *ring_reserve(struct ring *ring, uint32_t type, uint64_t origin, uint32_t size)
{
    struct ring_entry *entry;

    skip_to_start(ring, size);
    if (!fits_behind(ring, ring->seen_head, size)) {
        ring->seen_head = committed(ring);
        if (!fits_behind(ring, ring->seen_head, size))
            return NULL;
    }
    entry = entry_at(ring, ring->next_tail);
    entry->size = size;
    entry->type = type;
    entry->origin = origin;
    ring->next_tail += entry_room(size);
    if (origin != 0)
        ring->next_origin = origin;
    return entry->bytes;
}

bool ring_publish(struct ring *ring)
{
    const uint64_t tail = own_tail(ring);
    const unsigned other = !tail_origin(tail);

    if (tail_position(tail) == ring->next_tail)
        return false;
    atomic_store_explicit(&ring->control->origin[other], ring->next_origin, memory_order_relaxed);
    KILLPOINT(RING_ORIGIN);
    /* Pairs with the acquire in published (and ring_attach): entries and origin come first. */
    atomic_store_explicit(&ring->control->tail, ring->next_tail | other, memory_order_release);
    KILLPOINT(RING_PUBLISHED);
    ring->own_tail = ring->next_tail | other;
    return true;
}

/* The producer's own word: no order is needed. */
static bool wishes(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->wants_room, memory_order_relaxed) != 0;
}

bool ring_want_room(struct ring *ring, uint32_t size)
{
    ring->seen_head = committed(ring);
    if (!wishes(ring)) { /* a wish that stands has the older head, and so misses nothing */
        ring->full_head = ring->seen_head;
        atomic_store_explicit(&ring->control->wants_room, 1, memory_order_relaxed);
        KILLPOINT(RING_WISHED);
    }
    return fits_behind(ring, ring->seen_head, size);
}

bool ring_room_made(const struct ring *ring)
{
    /* The fence of latch_rest pairs with the one in ring_commit: this end stores the wish and then
     * reads the head, that one stores the head and then reads the wish. So at least one of them
     * sees the other; and `sleeping` stands as the wish does, so latch_wake wakes. */
    return wishes(ring) && committed(ring) != ring->full_head;
}

void ring_end_wish(struct ring *ring)
{
    if (wishes(ring))
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
            ring->seen_tail = published(ring);
            if (ring->next_head == ring->seen_tail)
                return NULL;
            if (!in_order(ring, ring->next_head, ring->seen_tail)) {
                ring->seen_tail = ring->next_head; /* not believed: as if nothing had come */
                return NULL;
            }
        }
        entry = entry_at(ring, ring->next_head);
        const uint64_t room = entry_room(entry->size);
        if (room >
            ring->seen_tail - ring->next_head) { /* it does not end where another can begin */
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
    /* One store, to a word that is the consumer's until the head has passed it. */
    struct ring_entry *own =
        (struct ring_entry *)(ring->data + ((const uint8_t *)entry - ring->data));
    own->type = RING_PAD;
}

bool ring_commit(struct ring *ring)
{
    struct ring_control *const control = ring->control;

    if (ring->next_head != atomic_load_explicit(&control->head, memory_order_relaxed)) {
        /* Pairs with the acquire in committed: the entries are not read after this. */
        atomic_store_explicit(&control->head, ring->next_head, memory_order_release);
        KILLPOINT(RING_COMMITTED);
        ring->own_head = ring->next_head;
        /* Pairs with the fence in latch_rest, which the producer passes before it looks a last time
         * for room: see ring_room_made. */
        atomic_thread_fence(memory_order_seq_cst);
    }
    return atomic_load_explicit(&control->wants_room, memory_order_relaxed) != 0;
}

bool ring_ready(const struct ring *ring)
{
    /* From 1 to ring->size bytes: neither none nor more than can be. */
    return published(ring) - committed(ring) - 1 < ring->size;
}

bool ring_doubtful(const struct ring *ring)
{
    return !in_order(ring, committed(ring), published(ring));
}

/* Puts a word right that only this end writes. */
static void restore(struct ring *ring, _Atomic uint64_t *word, uint64_t value)
{
    if (atomic_load_explicit(word, memory_order_relaxed) == value)
        return;
    atomic_store_explicit(word, value, memory_order_release);
    ring->damage++;
}

void ring_check_producer(struct ring *ring)
{
    restore(ring, &ring->control->tail, ring->own_tail);
}

void ring_check_consumer(struct ring *ring)
{
    restore(ring, &ring->control->head, ring->own_head);
}

void ring_skip(struct ring *ring)
{
    ring->next_head = published(ring);
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
    const uint64_t tail = published(ring);
    uint64_t at = committed(ring);

    if (!in_order(ring, at, tail))
        return false;
    while (at != tail) {
        /* Checked before it is read: the header, then all of it. */
        if (tail - at < sizeof(struct ring_entry))
            return false;
        const uint64_t room = entry_room(entry_at(ring, at)->size);
        if (room > tail - at)
            return false;
        at += room;
    }
    return true;
}
