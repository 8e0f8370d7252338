/*
 * The back-off after deaths of one slot's workers: how long the next start is delayed, and when the
 * node no longer counts as ready. Pure arithmetic; supervise.c keeps one struct for each slot.
 *
 *   cause of a worker's death             its successor starts
 *   ------------------------------------  --------------------------------------------------------
 *   its own fault, 1st to 4th time in a   at once: a message that has killed two workers is skipped
 *     row                                   by the next (shm/words.h)
 *   its own fault, 5th time in a row and  after 10 ms, doubled after each 4 more deaths, at most
 *     later                                 10 s
 *   external (usually SIGKILL), after     at once
 *     it lived 100 ms or longer
 *   external, before 100 ms               after 10 ms, doubled each time, at most 10 s
 *
 * A row of deaths ends when a worker has lived for DEATHS_SETTLED_MS.
 */
#ifndef WSPUSHD_MASTER_DEATHS_H
#define WSPUSHD_MASTER_DEATHS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DEATHS_YOUNG_MS = 100,
    DEATHS_SETTLED_MS = 10000,
    DEATHS_FREE = 4, /* deaths by the workers' own fault, in a row, that cause no delay */
    DEATHS_WAIT_FIRST_MS = 10,
    DEATHS_WAIT_LAST_MS = 10000
};

struct deaths {
    uint32_t own;   /* deaths in a row by the workers' own fault */
    uint32_t young; /* deaths in a row before DEATHS_YOUNG_MS */
};

/* Records a death after `lived_ms` milliseconds; `own`: by the worker's own fault (obituary.h).
 * Returns the delay of the next start in milliseconds: 0 to DEATHS_WAIT_LAST_MS. */
uint32_t deaths_note(struct deaths *deaths, uint64_t lived_ms, bool own);

/* Records that a worker has been alive for `lived_ms` milliseconds. */
void deaths_note_life(struct deaths *deaths, uint64_t lived_ms);

/* Returns the number of deaths in a row if the slot's workers keep dying, or 0. */
uint32_t deaths_failing(const struct deaths *deaths);

#endif
