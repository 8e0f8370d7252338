/*
 * Measures how long the machine itself stalls, independently of the server: one process on each
 * processor only sleeps, a millisecond at a time, with a real-time priority above everything else
 * (sched(7)). If it wakes late, nothing else can have run on that processor either: the hypervisor
 * had taken it, or the kernel did not release it. No server can be faster than that.
 */
#ifndef WSPUSHD_TOOLS_BENCH_STALL_H
#define WSPUSHD_TOOLS_BENCH_STALL_H

#include "tools/bench_board.h"

/* Returns the number of such processes that a run needs: none if its mode has no events. */
uint32_t stall_processes(const struct bench *bench);

/* The main function of one of them, until the end of the run. If it does not get the priority,
 * nothing is measured. Returns true. */
bool stall_run(const struct bench *bench, uint32_t number);

/* Returns the longest stall of a processor between an event and the next, in ns; UINT64_MAX if it
 * was not measured. */
uint64_t stall_of(const struct bench *bench, uint32_t event);

#endif
