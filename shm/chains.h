/*
 * Linear hashing (Litwin, VLDB 1980) for the indexes of this folder: buckets whose number grows by
 * one, and a number that is odd while their chains are being changed.
 *
 * A bucket array grows by one. The new bucket n takes its records from one other, its parent: n
 * without its highest bit, which is where all hashes that now belong in n were searched before.
 */
#ifndef WSPUSHD_SHM_CHAINS_H
#define WSPUSHD_SHM_CHAINS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Returns the highest power of two that is not above `n`, at least 1. */
static inline uint32_t chains_highest_bit(uint32_t n)
{
    return 1u << (31 - __builtin_clz(n));
}

/* Returns the bucket of a hash while there are `buckets`, at least 2. */
static inline uint32_t chains_bucket(uint32_t hash, uint32_t buckets)
{
    const uint32_t half = chains_highest_bit(buckets - 1);
    const uint32_t bucket = hash & (2 * half - 1);

    return bucket < buckets ? bucket : bucket - half;
}

/* Returns the bucket that is split when bucket `added` begins. */
static inline uint32_t chains_parent(uint32_t added)
{
    return added - chains_highest_bit(added);
}

/* Begins a change: makes the number odd, also after a death within a change. */
static inline void chains_begin(_Atomic uint32_t *changes)
{
    atomic_store_explicit(changes, atomic_load_explicit(changes, memory_order_relaxed) | 1,
                          memory_order_relaxed);
    /* No store of the change comes before this. Pairs with the acquire in chains_intact. */
    atomic_thread_fence(memory_order_release);
}

/* Ends a change: makes the number even. */
static inline void chains_end(_Atomic uint32_t *changes)
{
    /* No store of the change comes after this. Pairs with the acquire in chains_intact. */
    atomic_store_explicit(changes, atomic_load_explicit(changes, memory_order_relaxed) + 1,
                          memory_order_release);
}

/* True if no change is unfinished. Acquire: pairs with the releases above. */
static inline bool chains_intact(const _Atomic uint32_t *changes)
{
    return (atomic_load_explicit(changes, memory_order_acquire) & 1) == 0;
}

#endif
