/*
 * The child processes of a run: swarms, the publisher, and those that watch the machine. If one
 * fails, the run ends; if the main process dies, the kernel kills them.
 */
#ifndef WSPUSHD_TOOLS_BENCH_CHILDREN_H
#define WSPUSHD_TOOLS_BENCH_CHILDREN_H

#include <sys/types.h>

#include "tools/bench_board.h"
#include "tools/bench_target.h"

struct children {
    const struct bench *bench;
    const struct target *clients_to, *publish_to;
    pid_t pid[SWARMS_MAX + 1 + STALLS_MAX]; /* swarms, the publisher, the others; 0: ended */
    uint32_t count;
};

/* Forks all of them. Returns false if that fails, after printing the reason on stderr. */
bool children_start(struct children *children);

/* True if no child has failed; prints the error of one that has on stderr. */
bool children_well(struct children *children);

/* Waits for all of them; result and messages as for children_well(). */
bool children_end(struct children *children);

/* Kills the remaining ones. */
void children_kill(struct children *children);

#endif
