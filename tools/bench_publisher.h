/* The process that publishes. */
#ifndef WSPUSHD_TOOLS_BENCH_PUBLISHER_H
#define WSPUSHD_TOOLS_BENCH_PUBLISHER_H

#include "tools/bench_board.h"
#include "tools/bench_target.h"

/* Publishes as the mode says from PHASE_RUN to PHASE_DRAIN, waits for the replies, and returns at
 * PHASE_END. Returns false, with an error on the board, if it cannot continue. */
bool publisher_run(const struct bench *bench, const struct target *target);

#endif
