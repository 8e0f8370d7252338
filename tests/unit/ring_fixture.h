/*
 * Fixture of the ring's tests: a segment with one ring between two workers, both of its ends, and
 * entries that can be distinguished from each other and from damaged ones.
 */
#ifndef WSPUSHD_TESTS_RING_FIXTURE_H
#define WSPUSHD_TESTS_RING_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/ring.h"
#include "shm/segment.h"

static struct segment segment;
static uint8_t *bytes; /* of the ring from worker 0 to worker 1, mirrored */
static struct ring_control *control;
static uint32_t size;
static struct ring producer, consumer;

static uint64_t random_state;
static inline uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

static inline int begin(void **state)
{
    (void)state;
    size = (uint32_t)sysconf(_SC_PAGESIZE);
    random_state = 88172645463325252u;
    const struct segment_shape shape = {2, 64, 64, size, size, size};
    if (segment_create(&segment, &shape, "node") == -1)
        return -1;
    bytes = segment_mirror(&segment, segment_ring_offset(&segment, 0, 1), size);
    control = segment_ring_control(&segment, 0, 1);
    ring_attach(&producer, control, bytes, size);
    ring_attach(&consumer, control, bytes, size);
    return bytes == NULL ? -1 : 0;
}

static inline int end(void **state)
{
    (void)state;
    munmap(bytes, 2 * (size_t)size);
    segment_close(&segment);
    return 0;
}

static inline uint64_t room(uint32_t len)
{
    return (16 + (uint64_t)len + 7) / 8 * 8;
}

/* Makes an entry with bytes that depend on its number, and checks that it arrived unchanged. */
static inline uint8_t byte_of(uint64_t number, uint32_t i)
{
    return (uint8_t)((number * 0x9e3779b97f4a7c15 >> 40) + i * 31);
}
static inline bool put(struct ring *ring, uint64_t number, uint32_t len)
{
    uint8_t *const at = ring_reserve(ring, (uint32_t)(number * 3), number, len);

    for (uint32_t i = 0; at != NULL && i < len; i++)
        at[i] = byte_of(number, i);
    return at != NULL;
}
static inline bool is_entry(const struct ring_entry *entry, uint64_t number)
{
    bool good = entry->origin == number && entry->type == (uint32_t)(number * 3);

    for (uint32_t i = 0; good && i < entry->size; i++)
        good = entry->bytes[i] == byte_of(number, i);
    return good;
}

#endif
