/*
 * Recognises time in which the process did not run: SIGSTOP, a frozen container (`docker pause`), a
 * suspended virtual machine. CLOCK_MONOTONIC continues meanwhile, but the process could receive
 * nothing, so this time must not count towards any timeout of a peer.
 *
 * A process that reads the clock at least once a second sees a pause as a gap between two readings.
 * An overloaded machine on which a process does not run for seconds looks the same, and is treated
 * the same.
 */
#ifndef WSPUSHD_COMMON_PAUSE_H
#define WSPUSHD_COMMON_PAUSE_H

#include <stdint.h>

enum { PAUSE_MS = 1500 /* a longer gap is a pause: every event loop has a timer of one second */ };

/* Compares two readings of CLOCK_MONOTONIC in milliseconds: `now_ms`, and the previous one,
 * `*last_ms` (0: none yet), which is set to `now_ms`. Returns the length of a pause in
 * milliseconds, or 0. */
static inline uint64_t pause_since(uint64_t *last_ms, uint64_t now_ms)
{
    const uint64_t gap = *last_ms != 0 && now_ms > *last_ms ? now_ms - *last_ms : 0;
    *last_ms = now_ms;
    return gap > PAUSE_MS ? gap : 0;
}

#endif
