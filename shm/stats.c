/*
 * Statistics as data: the table of stats.h with the offset of each counter, and sums over the
 * workers. The counters are read one after another while they grow: each is recent, and none is
 * missed.
 */
#include "shm/stats.h"

#include <string.h>

const struct stats_row stats_table[] = {
#define STATS_ROW(field, family, labels, help) \
    {family, labels, help, offsetof(struct stats, field)},
    STATS(STATS_ROW)
#undef STATS_ROW
};
const size_t stats_table_len = sizeof(stats_table) / sizeof(stats_table[0]);

uint64_t stats_sum(const struct stats *blocks, uint32_t workers, const struct stats_row *row)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < workers; i++) {
        const void *const counter = (const uint8_t *)&blocks[i] + row->offset;
        /* Relaxed, as in stats_add. */
        sum += atomic_load_explicit((const _Atomic uint64_t *)counter, memory_order_relaxed);
    }
    return sum;
}

uint64_t stats_latency_sum(const struct stats *blocks, uint32_t workers,
                           uint64_t out[LATENCY_BUCKETS])
{
    uint64_t us = 0;

    memset(out, 0, LATENCY_BUCKETS * sizeof(*out));
    for (uint32_t i = 0; i < workers; i++) {
        for (size_t k = 0; k < LATENCY_BUCKETS; k++)
            out[k] += atomic_load_explicit(&blocks[i].latency[k], memory_order_relaxed);
        us += atomic_load_explicit(&blocks[i].latency_us, memory_order_relaxed);
    }
    return us;
}

_Atomic uint64_t *stats_requests(struct stats *stats, uint32_t op)
{
    for (size_t i = 0; i < STATS_OPCODES_MAX; i++) {
        struct stats_requests *const entry = &stats->requests[i];
        const uint32_t taken = atomic_load_explicit(&entry->op, memory_order_relaxed);

        if (taken ==
            0) /* the count is 0, so the order in which a reader sees both does not matter */
            atomic_store_explicit(&entry->op, op, memory_order_relaxed);
        if (taken == 0 || taken == op)
            return &entry->count;
    }
    return &stats->requests_other;
}

uint64_t stats_requests_of(const struct stats *stats, uint32_t op)
{
    for (size_t i = 0; i < STATS_OPCODES_MAX; i++) {
        const struct stats_requests *const entry = &stats->requests[i];
        const uint32_t taken = atomic_load_explicit(&entry->op, memory_order_relaxed);

        if (taken == op)
            return atomic_load_explicit(&entry->count, memory_order_relaxed);
        if (taken == 0)
            break;
    }
    return 0;
}
