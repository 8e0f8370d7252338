/* A process that holds a part of the clients. */
#ifndef WSPUSHD_TOOLS_BENCH_SWARM_H
#define WSPUSHD_TOOLS_BENCH_SWARM_H

#include "tools/bench_board.h"
#include "tools/bench_target.h"

/* Connects as the board says, receives, lets clients leave and send requests as the mode says, and
 * returns at PHASE_END. Returns false, with an error on the board, if it cannot continue. */
bool swarm_run(const struct bench *bench, uint32_t index, const struct target *target);

#endif
