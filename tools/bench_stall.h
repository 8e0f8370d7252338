/*
 * How long the machine itself stood still, beside what a server did: one process on each processor
 * that only naps, a millisecond at a time, and goes before everybody else by its real-time priority
 * (sched(7)). Where it wakes late, nothing else can have run there either: the hypervisor had the
 * processor, or the kernel did not let go of it. No server can be quicker than that.
 */
#ifndef WSPUSHD_TOOLS_BENCH_STALL_H
#define WSPUSHD_TOOLS_BENCH_STALL_H

#include "tools/bench_board.h"

/* How many such processes a run wants: none, where its mode has no events. */
uint32_t stall_processes(const struct bench *bench);

/* What one of them does, to the end of the run. Where it is not given the priority, nothing is
 * measured. Returns true. */
bool stall_run(const struct bench *bench, uint32_t number);

/* The longest that a processor stood still between an event and the next, in ns; UINT64_MAX where
 * it was not measured. */
uint64_t stall_of(const struct bench *bench, uint32_t event);

#endif
