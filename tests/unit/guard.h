/*
 * Helpers for the parsers' tests: input that ends exactly at an unreadable page, so that a read of
 * one byte too many always crashes; and every way to cut an input into pieces.
 *
 * A parser of whole buffers is given each prefix of its input by guard_prefixes(); one that takes
 * its input as it arrives is fed by guard_feed_all_ways(): whole, byte by byte, and in two pieces
 * cut at every place.
 */
#ifndef WSPUSHD_TESTS_GUARD_H
#define WSPUSHD_TESTS_GUARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* A buffer of at least `capacity` bytes, followed by a PROT_NONE page. */
struct guard {
    uint8_t *map;
    size_t capacity;
};

static inline size_t guard_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static inline struct guard guard_open(size_t capacity)
{
    const size_t page = guard_page();
    struct guard guard = {.capacity = capacity == 0 ? page : (capacity + page - 1) / page * page};
    guard.map = mmap(NULL, guard.capacity + page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(guard.map, MAP_FAILED);
    assert_int_equal(mprotect(guard.map + guard.capacity, page, PROT_NONE), 0);
    return guard;
}

static inline void guard_close(struct guard *guard)
{
    assert_int_equal(munmap(guard->map, guard->capacity + guard_page()), 0);
    guard->map = NULL;
}

/* The last `len` bytes before the unreadable page, for output that must not overflow. */
static inline uint8_t *guard_room(const struct guard *guard, size_t len)
{
    assert_true(len <= guard->capacity);
    return guard->map + guard->capacity - len;
}

/* Copies the bytes so that they end at the page; the copy is writable, and valid until the next use
 * of the same guard. */
static inline uint8_t *guard_put(const struct guard *guard, const void *bytes, size_t len)
{
    uint8_t *at = guard_room(guard, len);
    if (len > 0)
        memcpy(at, bytes, len);
    return at;
}

/* An incremental parser under test: begin() resets it, feed() gives it one writable piece, end()
 * checks the result of the whole input. */
struct guard_feeder {
    void (*begin)(void *context);
    void (*feed)(void *context, uint8_t *piece, size_t len);
    void (*end)(void *context);
    void *context;
};

/* Feeds the input in pieces of `size` bytes (the last may be shorter). */
static inline void guard_feed_pieces(const struct guard_feeder *feeder, const void *bytes,
                                     size_t len, size_t size)
{
    struct guard guard = guard_open(size < len ? size : len);
    feeder->begin(feeder->context);
    for (size_t done = 0; done < len; done += size) {
        const size_t piece = len - done < size ? len - done : size;
        feeder->feed(feeder->context, guard_put(&guard, (const uint8_t *)bytes + done, piece),
                     piece);
    }
    feeder->end(feeder->context);
    guard_close(&guard);
}

static inline void guard_feed_bytes(const struct guard_feeder *feeder, const void *bytes,
                                    size_t len)
{
    guard_feed_pieces(feeder, bytes, len, 1);
}

/* Feeds the input in two pieces, once for every place to cut it. */
static inline void guard_feed_splits(const struct guard_feeder *feeder, const void *bytes,
                                     size_t len)
{
    struct guard guard = guard_open(len);
    for (size_t cut = 0; cut <= len; cut++) {
        feeder->begin(feeder->context);
        feeder->feed(feeder->context, guard_put(&guard, bytes, cut), cut);
        feeder->feed(feeder->context, guard_put(&guard, (const uint8_t *)bytes + cut, len - cut),
                     len - cut);
        feeder->end(feeder->context);
    }
    guard_close(&guard);
}

static inline void guard_feed_all_ways(const struct guard_feeder *feeder, const void *bytes,
                                       size_t len)
{
    guard_feed_pieces(feeder, bytes, len, len == 0 ? 1 : len);
    guard_feed_bytes(feeder, bytes, len);
    guard_feed_splits(feeder, bytes, len);
}

/* Gives each prefix of the input, from none to all, to a parser of whole buffers. */
static inline void guard_prefixes(void (*check)(void *context, uint8_t *prefix, size_t len),
                                  void *context, const void *bytes, size_t len)
{
    struct guard guard = guard_open(len);
    for (size_t part = 0; part <= len; part++)
        check(context, guard_put(&guard, bytes, part), part);
    guard_close(&guard);
}

/* Random numbers that are the same in each run (xorshift64*, Vigna 2016); *state is not 0. */
static inline uint64_t guard_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* A random number below `bound`, which is not 0. */
static inline size_t guard_random_below(uint64_t *state, size_t bound)
{
    return (size_t)(guard_random(state) >> 11) % bound;
}

#endif
