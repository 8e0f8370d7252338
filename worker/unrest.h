/*
 * Where in the connection table there is something to look after. A successor reads the table once,
 * and remembers where a connection is not at rest; of a million that are it looks at none a second
 * time. What is remembered is a bit for a block of records: a few at rest are looked at with the
 * others, which does no harm.
 *
 *    table   [ 0 .. size )  [ size .. 2 size )  ...  high
 *    bits          0                1           ...            at most UNREST_BLOCKS
 */
#ifndef WSPUSHD_WORKER_UNREST_H
#define WSPUSHD_WORKER_UNREST_H

#include <stdint.h>

enum { UNREST_BLOCKS = 4096 };

struct unrest {
    uint32_t high; /* records: of the table */
    uint32_t size; /* records: of a block, 1 or more */
    uint64_t bits[UNREST_BLOCKS / 64];
};

/* None yet, among descriptors below `high`. */
struct unrest unrest_among(uint32_t high);

/* There is, at this descriptor. */
void unrest_note(struct unrest *unrest, uint32_t fd);

/* The first descriptor from `fd` on that was noted or shares its block with one, or `high`. */
uint32_t unrest_next(const struct unrest *unrest, uint32_t fd);

#endif
