/*
 * Deaths of one slot's workers in a row: how long the next start waits, and when the node is not to
 * be called ready any more. Pure arithmetic; supervise.c keeps one of these for each slot.
 *
 *   a worker dies                       the next starts
 *   ----------------------------------  ----------------------------------------------------------
 *   of its own making, the 1st to 4th   at once: what has killed two of them is set aside by the
 *     time in a row                       next (shm/words.h)
 *   of its own making, the 5th time     after 10 ms, twice as long after each 4 more, at most 10 s
 *     and on
 *   otherwise (SIGKILL above all),      at once
 *     after 100 ms or more
 *   otherwise, younger                  after 10 ms, twice as long each time, at most 10 s
 *
 * "In a row" ends when a worker has lived for DEATHS_SETTLED_MS.
 */
#ifndef WSPUSHD_MASTER_DEATHS_H
#define WSPUSHD_MASTER_DEATHS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DEATHS_YOUNG_MS = 100,
    DEATHS_SETTLED_MS = 10000,
    DEATHS_FREE = 4, /* of the workers' own making, in a row: they cost no wait */
    DEATHS_WAIT_FIRST_MS = 10,
    DEATHS_WAIT_LAST_MS = 10000
};

struct deaths {
    uint32_t own;   /* in a row, of the workers' own making */
    uint32_t young; /* in a row, before DEATHS_YOUNG_MS */
};

/* Notes a death after `lived_ms` milliseconds; `own`: of the worker's own making (obituary.h).
 * Returns for how many milliseconds the next start waits: 0 to DEATHS_WAIT_LAST_MS. */
uint32_t deaths_note(struct deaths *deaths, uint64_t lived_ms, bool own);

/* Notes that a worker has been alive for `lived_ms` milliseconds. */
void deaths_note_life(struct deaths *deaths, uint64_t lived_ms);

/* Returns how many deaths in a row make the slot's worker one that keeps dying, or 0 if it does
 * not. */
uint32_t deaths_failing(const struct deaths *deaths);

#endif
