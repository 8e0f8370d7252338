/*
 * The board: what the master has to tell all workers at once. It outlives every worker, and by an
 * upgrade the master's program, too.
 *
 *   +--------+-------+--------+--------+  of each kind of change: the numbers of the last one that
 *   | number | begun | even   | odd    |  has ended and of the last one that has begun; the reports
 *   +--------+-------+--------+--------+  of the last two: number n is in report[n % 2]
 *   | asked  | ending| share of each   |  changes that wait for the one under way; the end of
 *   +--------+-------+--------+--------+  service, and how many clients each worker has then
 *
 * Written by the master alone. A report is written beside the last one and becomes visible by its
 * number, so a master that dies in between has told nothing; a reader that finds another number
 * after than before reads again. The shares are written once, before `ending` says that they count.
 */
#ifndef WSPUSHD_SHM_BOARD_H
#define WSPUSHD_SHM_BOARD_H

#include "shm/segment.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What replaces every worker on purpose: X(name, its name in /api/stats) */
#define CHANGES(X)      \
    X(RELOAD, "reload") \
    X(UPGRADE, "upgrade")
enum change_kind {
#define CHANGE_ENUM(name, text) CHANGE_##name,
    CHANGES(CHANGE_ENUM)
#undef CHANGE_ENUM
        CHANGE_COUNT
};
const char *change_name(enum change_kind kind);

enum { CHANGE_TEXT_MAX = 4096 };

/* How a change ended: X(name, its name in /api/stats) */
#define CHANGE_OUTCOMES(X)                          \
    X(DONE, "done")                                 \
    X(REFUSED, "refused") /* nothing has changed */ \
    X(FAILED, "failed")   /* it has happened, and not every worker serves */
enum change_outcome {
#define CHANGE_OUTCOME_ENUM(name, text) CHANGE_##name,
    CHANGE_OUTCOMES(CHANGE_OUTCOME_ENUM)
#undef CHANGE_OUTCOME_ENUM
        CHANGE_OUTCOME_COUNT
};
const char *change_outcome_name(enum change_outcome outcome);

struct change_report {
    uint64_t at_ms;             /* when: wall clock, ms */
    uint64_t outcome;           /* enum change_outcome */
    char text[CHANGE_TEXT_MAX]; /* lines, NUL-terminated: why; or keys that keep their value */
};
enum { CHANGE_WORDS = sizeof(struct change_report) / sizeof(uint64_t) };
_Static_assert(sizeof(struct change_report) == CHANGE_WORDS * sizeof(uint64_t), "whole words");

struct change_record {
    _Atomic uint32_t number;                  /* 0: there was none yet */
    _Atomic uint32_t begun;                   /* number, or one more: it is under way */
    _Atomic uint64_t report[2][CHANGE_WORDS]; /* struct change_report, word by word: it may be read
                                                 while it is written, and then it is read again */
};

/* Why service ends, and so by which code clients are closed. */
enum ending {
    ENDING_NONE,
    ENDING_STOP,    /* for good: 1001 */
    ENDING_RESTART, /* the server is about to be started again: 1012 */
};

struct board {
    struct change_record change[CHANGE_COUNT];
    _Atomic uint32_t asked; /* bit (1 << kind) */
    _Atomic uint32_t ending;
    _Atomic uint32_t share[WORKERS_MAX]; /* clients of each worker when the end began */
};

/* The master: a change begins. Who asks for one while `begun` is n gets what he wants by number
 * n + 1, whoever else asks, for that has begun after he asked. */
void board_begin(struct board *board, enum change_kind kind);

/* The master, on a new board: change `number`, which began on an old one, is under way. */
void board_resume(struct board *board, enum change_kind kind, uint32_t number);

/* The number of the last change that has begun. */
uint32_t board_begun(const struct board *board, enum change_kind kind);

/* The master: a change has ended. `text` is cut where it is too long. */
void board_report(struct board *board, enum change_kind kind, enum change_outcome outcome,
                  uint64_t at_ms, const char *text);

/* Copies the report of the last change of this kind; returns its number, 0 where there was none. */
uint32_t board_read(const struct board *board, enum change_kind kind, struct change_report *out);

/* The master: service ends; `share` has the clients of each of `workers`. The first call counts. */
void board_end(struct board *board, enum ending ending, const uint32_t *share, uint32_t workers);

/*
 * The turns in which clients are to come back. All workers' clients stand in one line, and each has
 * an equal piece of the window, so no second has more than the mean, rounded up:
 *
 *     worker 0     worker 1   worker 2
 *   | 0 1 2 3 4 5 | 6 7 8 9 | 10 11 |     its middle is when a client's turn is
 *   0 ----------------------- window
 */
struct turns {
    uint64_t first; /* place of this worker's first client */
    uint64_t step;  /* from one of its clients to the next */
    uint64_t total; /* places in the line */
};

/* The places of a worker that is about to tell `count` clients. Where fewer are left than its share
 * (some have gone, or a dead worker has told them), it takes its last ones; where there are more,
 * for some have come since, those share the places of others. Where nobody has written shares, for
 * the master is dead, each worker takes every `workers`-th place of a line of its own. */
struct turns board_turns(const struct board *board, uint32_t worker, uint32_t workers,
                         uint32_t count);

/* When the turn of its client number `rank` (0, 1, ...) is: ms within the window. */
uint32_t turn_ms(const struct turns *turns, uint64_t rank, uint32_t window_ms);

/* Whether a board is one that the code above can have left, at any instruction. */
bool board_valid(const struct board *board);

#endif
