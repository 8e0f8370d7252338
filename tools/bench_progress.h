/*
 * How a run fares, on stderr while it goes on: a line that is written over on a terminal, a line a
 * second elsewhere, nothing with --quiet.
 */
#ifndef WSPUSHD_TOOLS_BENCH_PROGRESS_H
#define WSPUSHD_TOOLS_BENCH_PROGRESS_H

#include "tools/bench_board.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const struct bench *bench;
    const char *phase; /* what to say; borrowed */
    bool terminal;
    uint64_t began, shown;
    uint64_t deliveries; /* when it was last shown */
};

void progress_begin(struct progress *progress, const struct bench *bench);
void progress_show(struct progress *progress); /* as often as one likes */
void progress_end(struct progress *progress);  /* takes a terminal's line away */

#endif
