/*
 * Statistics as data: the table of stats.h with the place of each counter, and the sum over the
 * workers. A sum is of numbers read one after another while they grow: each is recent, none is
 * lost.
 */
#include "shm/stats.h"

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
