/*
 * Recognises time in which the process did not run: SIGSTOP, a frozen container (`docker pause`), a
 * suspended virtual machine. CLOCK_MONOTONIC goes on meanwhile, and nobody could be heard, so such
 * time must not count against anybody who is waited for.
 *
 * A process that looks at the clock at least once a second sees it as a gap between two looks. A
 * machine that is so overloaded that a process does not run for seconds looks the same, and should
 * be treated the same.
 */
#ifndef WSPUSHD_COMMON_PAUSE_H
#define WSPUSHD_COMMON_PAUSE_H

#include <stdint.h>

enum { PAUSE_MS = 1500 /* a longer gap is a pause: every loop has a timer of one second */ };

/* Looks at the clock: `now_ms` is CLOCK_MONOTONIC in milliseconds, `*last_ms` the look before (0:
 * none yet), which it sets. Returns the length of a pause in milliseconds, or 0. */
static inline uint64_t pause_since(uint64_t *last_ms, uint64_t now_ms)
{
    const uint64_t gap = *last_ms != 0 && now_ms > *last_ms ? now_ms - *last_ms : 0;
    *last_ms = now_ms;
    return gap > PAUSE_MS ? gap : 0;
}

#endif
