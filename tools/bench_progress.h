/*
 * The progress of a run, on stderr: on a terminal a line that is overwritten, elsewhere a line per
 * second, nothing with --quiet.
 */
#ifndef WSPUSHD_TOOLS_BENCH_PROGRESS_H
#define WSPUSHD_TOOLS_BENCH_PROGRESS_H

#include "tools/bench_board.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const struct bench *bench;
    const char *phase; /* text to show; borrowed */
    bool terminal;
    uint64_t began, shown;
    uint64_t deliveries; /* when it was last shown */
};

void progress_begin(struct progress *progress, const struct bench *bench);
void progress_show(struct progress *progress); /* call as often as you like */
void progress_end(struct progress *progress);  /* removes the line from a terminal */

#endif
