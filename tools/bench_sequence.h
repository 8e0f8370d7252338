/*
 * What a client has received of one numbered source: what came in order, late or twice, and so what
 * is missing.
 *
 *   seen    bit 0 is for number next - 1, bit 1 for next - 2, ...: which of the last 64 have come
 *
 *            ... 1 1 1 0 1 | next
 *                      └── has not come (yet)
 *
 * What comes 64 numbers late or later cannot be told from what comes twice, and counts as that: the
 * one that never came is then counted as lost as well.
 */
#ifndef WSPUSHD_TOOLS_BENCH_SEQUENCE_H
#define WSPUSHD_TOOLS_BENCH_SEQUENCE_H

#include <stdint.h>

/* All zero is one of which nothing was received. */
struct sequence {
    uint64_t seen;
    uint32_t next;     /* one more than the highest number received */
    uint32_t distinct; /* different numbers received: what is sent beyond these is lost */
};

enum arrival {
    ARRIVAL_FIRST,   /* not received before, and none after it */
    ARRIVAL_LATE,    /* not received before, but one after it: out of order */
    ARRIVAL_DOUBLED, /* received before */
};

enum arrival sequence_take(struct sequence *sequence, uint32_t number);

#endif
