/*
 * The processes of a run beside the main one: swarms, the publisher, and those that watch the
 * machine. One that ends badly ends the run; if the main process dies, the kernel kills them.
 */
#ifndef WSPUSHD_TOOLS_BENCH_CHILDREN_H
#define WSPUSHD_TOOLS_BENCH_CHILDREN_H

#include <sys/types.h>

#include "tools/bench_board.h"
#include "tools/bench_target.h"

struct children {
    const struct bench *bench;
    const struct target *clients_to, *publish_to;
    pid_t pid[SWARMS_MAX + 1 + STALLS_MAX]; /* swarms, the publisher, the rest; 0: has ended */
    uint32_t count;
};

/* Forks them all. False where that fails, and then it has said why on stderr. */
bool children_start(struct children *children);

/* Whether none has ended badly; if one has, it has said why on stderr. */
bool children_well(struct children *children);

/* The same of each, waited for. */
bool children_end(struct children *children);

/* Ends whoever is left. */
void children_kill(struct children *children);

#endif
