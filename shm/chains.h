/*
 * What the indexes of this folder have in common: buckets that grow by linear hashing (Litwin,
 * VLDB 1980), and a number that is odd while their chains are being changed.
 *
 * A bucket array grows by one. The new bucket n takes its records from one other, its parent: n
 * without its highest bit, which is where all hashes that now belong in n were looked for before.
 */
#ifndef WSPUSHD_SHM_CHAINS_H
#define WSPUSHD_SHM_CHAINS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The highest power of two that `n`, at least 1, contains. */
static inline uint32_t chains_highest_bit(uint32_t n)
{
    return 1u << (31 - __builtin_clz(n));
}

/* The bucket of a hash while there are `buckets`, at least 2. */
static inline uint32_t chains_bucket(uint32_t hash, uint32_t buckets)
{
    const uint32_t half = chains_highest_bit(buckets - 1);
    const uint32_t bucket = hash & (2 * half - 1);

    return bucket < buckets ? bucket : bucket - half;
}

/* The bucket whose records are divided when bucket `added` begins. */
static inline uint32_t chains_parent(uint32_t added)
{
    return added - chains_highest_bit(added);
}

static inline void chains_begin(_Atomic uint32_t *changes)
{
    atomic_store_explicit(changes, atomic_load_explicit(changes, memory_order_relaxed) | 1,
                          memory_order_relaxed);
    /* No store of the change comes before the one above. Pairs with the acquire in chains_intact.
     */
    atomic_thread_fence(memory_order_release);
}

static inline void chains_end(_Atomic uint32_t *changes)
{
    /* And none comes after this one. Pairs with the acquire in chains_intact. */
    atomic_store_explicit(changes, atomic_load_explicit(changes, memory_order_relaxed) + 1,
                          memory_order_release);
}

/* Pairs with the releases above. */
static inline bool chains_intact(const _Atomic uint32_t *changes)
{
    return (atomic_load_explicit(changes, memory_order_acquire) & 1) == 0;
}

#endif
