/*
 * The parts of the connection table that need attention after a death. A successor reads the table
 * once and notes the connections that are not at rest; of a million that are at rest, none is read
 * again. One bit stands for a block of records, so a few connections at rest are visited with the
 * others, which is harmless.
 *
 *    table   [ 0 .. size )  [ size .. 2 size )  ...  high
 *    bits          0                1           ...            at most UNREST_BLOCKS
 */
#ifndef WSPUSHD_WORKER_UNREST_H
#define WSPUSHD_WORKER_UNREST_H

#include <stdint.h>

enum { UNREST_BLOCKS = 4096 };

struct unrest {
    uint32_t high; /* records in the table */
    uint32_t size; /* records in a block, 1 or more */
    uint64_t bits[UNREST_BLOCKS / 64];
};

/* Returns an empty set for descriptors below `high`. */
struct unrest unrest_among(uint32_t high);

/* Notes a descriptor. */
void unrest_note(struct unrest *unrest, uint32_t fd);

/* Returns the first descriptor from `fd` on that was noted or shares its block with one, or
 * `high`. */
uint32_t unrest_next(const struct unrest *unrest, uint32_t fd);

#endif
