/*
 * The board: the master's announcements to all workers. It outlives every worker, and in an upgrade
 * the master's program too.
 *
 *   +--------+-------+--------+--------+  for each kind of change: the number of the last one that
 *   | number | begun | even   | odd    |  ended, the number of the last one that began, and the
 *   +--------+-------+--------+--------+  last two reports: number n is in report[n % 2]
 *   | asked  | ending| share of each   |  changes requested while another is under way; the end of
 *   +--------+-------+--------+--------+  service, and how many clients each worker has then
 *
 * Written by the master alone. A report is written next to the previous one and becomes visible by
 * its number, so a master that dies in between has published nothing. A reader that finds a
 * different number after reading reads again. The shares are written once, before `ending`.
 */
#ifndef WSPUSHD_SHM_BOARD_H
#define WSPUSHD_SHM_BOARD_H

#include "shm/segment.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The operations that replace every worker on purpose: X(name, its name in /api/stats) */
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
    X(FAILED, "failed")   /* the change was made, but not every worker serves */
enum change_outcome {
#define CHANGE_OUTCOME_ENUM(name, text) CHANGE_##name,
    CHANGE_OUTCOMES(CHANGE_OUTCOME_ENUM)
#undef CHANGE_OUTCOME_ENUM
        CHANGE_OUTCOME_COUNT
};
const char *change_outcome_name(enum change_outcome outcome);

struct change_report {
    uint64_t at_ms;             /* when it ended: wall clock, ms */
    uint64_t outcome;           /* enum change_outcome */
    char text[CHANGE_TEXT_MAX]; /* lines, NUL-terminated: why; or keys that keep their value */
};
enum { CHANGE_WORDS = sizeof(struct change_report) / sizeof(uint64_t) };
_Static_assert(sizeof(struct change_report) == CHANGE_WORDS * sizeof(uint64_t), "whole words");

struct change_record {
    _Atomic uint32_t number;                  /* 0: none has ended yet */
    _Atomic uint32_t begun;                   /* number, or number + 1: one is under way */
    _Atomic uint64_t report[2][CHANGE_WORDS]; /* struct change_report, word by word: a reader may
                                                 overlap with the writer, and then reads again */
};

/* Why service ends, which decides the code that clients are closed with (RFC 6455 §7.4). */
enum ending {
    ENDING_NONE,
    ENDING_STOP,    /* for good: 1001 */
    ENDING_RESTART, /* the server is to be started again at once: 1012 */
};

struct board {
    struct change_record change[CHANGE_COUNT];
    _Atomic uint32_t asked;              /* bit (1 << kind): requested, and not begun */
    _Atomic uint32_t ending;             /* enum ending */
    _Atomic uint32_t share[WORKERS_MAX]; /* clients of each worker when service began to end */
};

/* Notes that a change begins. For the master. A request made while `begun` is n is satisfied once
 * change n + 1 has ended: that one began after the request, whoever else also asked. */
void board_begin(struct board *board, enum change_kind kind);

/* Notes on a new board that change `number`, begun on an old one, is under way. For the master. */
void board_resume(struct board *board, enum change_kind kind, uint32_t number);

/* Returns the number of the last change that has begun. */
uint32_t board_begun(const struct board *board, enum change_kind kind);

/* Publishes how a change ended, at `at_ms` (wall clock, ms). For the master. A `text` longer than
 * CHANGE_TEXT_MAX - 1 bytes is cut, and says so. */
void board_report(struct board *board, enum change_kind kind, enum change_outcome outcome,
                  uint64_t at_ms, const char *text);

/* Copies the report of the last change of this kind. Returns its number, 0 if there was none. */
uint32_t board_read(const struct board *board, enum change_kind kind, struct change_report *out);

/* Publishes that service ends, and in `share` the clients of each of `workers`. For the master.
 * Only the first call counts. */
void board_end(struct board *board, enum ending ending, const uint32_t *share, uint32_t workers);

/*
 * When clients are to reconnect after the end of service. The clients of all workers form one line,
 * and each gets an equal part of the window, so no second has more than the mean, rounded up:
 *
 *     worker 0     worker 1   worker 2
 *   | 0 1 2 3 4 5 | 6 7 8 9 | 10 11 |     a client reconnects in the middle of its part
 *   0 ----------------------- window
 */
struct turns {
    uint64_t first; /* place of this worker's first client */
    uint64_t step;  /* from one of its clients to the next */
    uint64_t total; /* places in the line */
};

/* Returns the places of a worker that is about to tell `count` clients. If fewer are left than its
 * share (some have gone, or a dead worker has told them), it takes its last places. If there are
 * more, because some have come since, those share the places of other workers. If the master died
 * before it wrote the shares, each worker takes every `workers`-th place of a line of its own. */
struct turns board_turns(const struct board *board, uint32_t worker, uint32_t workers,
                         uint32_t count);

/* Returns when client number `rank` (0, 1, ...) of the worker is to reconnect: ms within the
 * window. */
uint32_t turn_ms(const struct turns *turns, uint64_t rank, uint32_t window_ms);

/* True if the board is in a state that this code can leave at any instruction. */
bool board_valid(const struct board *board);

#endif
