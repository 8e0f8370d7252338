/* A process that holds a part of the clients. */
#ifndef WSPUSHD_TOOLS_BENCH_SWARM_H
#define WSPUSHD_TOOLS_BENCH_SWARM_H

#include "tools/bench_board.h"
#include "tools/bench_target.h"

/* Connects what the board wants, receives, lets clients leave and ask as the mode says, and returns
 * at PHASE_END; false where it cannot go on, with an error on the board. */
bool swarm_run(const struct bench *bench, uint32_t index, const struct target *target);

#endif
