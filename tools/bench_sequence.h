/*
 * The numbers that a client has received from one numbered source: which of them came in order,
 * late or twice, and so which are missing.
 *
 *   seen    bit 0 is for number next - 1, bit 1 for next - 2, ...: which of the last 64 have come
 *
 *            ... 1 1 1 0 1 | next
 *                      └── has not arrived (yet)
 *
 * A push that is 64 or more numbers late cannot be distinguished from a duplicate, and counts as
 * one: it is then also counted as lost.
 */
#ifndef WSPUSHD_TOOLS_BENCH_SEQUENCE_H
#define WSPUSHD_TOOLS_BENCH_SEQUENCE_H

#include <stdint.h>

/* All zero: nothing was received. */
struct sequence {
    uint64_t seen;
    uint32_t next;     /* 1 + the highest number received */
    uint32_t distinct; /* different numbers received: the others are lost */
};

enum arrival {
    ARRIVAL_FIRST,   /* not received before, and no later one either */
    ARRIVAL_LATE,    /* not received before, but a later one was: out of order */
    ARRIVAL_DOUBLED, /* received before */
};

enum arrival sequence_take(struct sequence *sequence, uint32_t number);

#endif
