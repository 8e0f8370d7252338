/*
 * Nanoseconds of CLOCK_MONOTONIC, the same in all processes of the machine: the publisher writes
 * the time into a push, and the receiver computes the difference. The vDSO answers without a system
 * call.
 */
#ifndef WSPUSHD_TOOLS_BENCH_CLOCK_H
#define WSPUSHD_TOOLS_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

enum { BENCH_MS = 1000 * 1000, BENCH_S = 1000 * BENCH_MS };

static inline uint64_t bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * BENCH_S + (uint64_t)now.tv_nsec;
}

#endif
