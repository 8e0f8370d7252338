/*
 * The history of the node: a sample of its gauges and counters every ten seconds, for the last
 * hour. It outlives every worker, so that the dashboard's charts are complete when it is opened.
 *
 *   +-------+   number of samples ever written
 *   | count |
 *   +-------+-------+-------+-----+-------+   sample n is in place n % HISTORY_PLACES
 *   | sample| sample| sample| ... | sample|
 *   +-------+-------+-------+-----+-------+
 *       n      n + 1     ^ place of sample `count`: may be half written, and is not read
 *
 * Written by the node's home alone, which is the worker of slot 0 whatever the number of workers; a
 * successor begins after its predecessor's death. A sample is written, then counted, so a half
 * written one is never counted, and the successor writes the same place again. A reader that finds
 * afterwards that the place may have been written again treats the sample as gone.
 *
 * Samples hold counters and not rates: a rate is the difference of any two samples over the time
 * between them, so no sample depends on how the previous one was taken.
 */
#ifndef WSPUSHD_SHM_HISTORY_H
#define WSPUSHD_SHM_HISTORY_H

#include "shm/stats.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    HISTORY_EVERY_MS = 10000, /* from one sample to the next */
    HISTORY_HOUR = 361,       /* samples that can be read, with 360 intervals between them */
    HISTORY_PLACES = HISTORY_HOUR + 1
};

/* The numbers of a sample, named as in /api/stats: X(field, true if it only grows) */
#define HISTORY_FIELDS(X)     \
    X(connections, false)     \
    X(pushes_received, true)  \
    X(pushes_delivered, true) \
    X(pushes_dropped, true)   \
    X(cpu_ms, true)           \
    X(resident_memory_bytes, false)

struct history_sample {
    uint64_t at_ms; /* CLOCK_MONOTONIC */
#define HISTORY_FIELD(name, grows) uint64_t name;
    HISTORY_FIELDS(HISTORY_FIELD)
#undef HISTORY_FIELD
    uint64_t latency[LATENCY_BUCKETS]; /* deliveries since the start, each in one bucket */
};
enum { HISTORY_WORDS = sizeof(struct history_sample) / sizeof(uint64_t) };
_Static_assert(sizeof(struct history_sample) == HISTORY_WORDS * sizeof(uint64_t), "whole words");

struct history {
    _Atomic uint64_t count;
    _Atomic uint64_t sample[HISTORY_PLACES][HISTORY_WORDS]; /* struct history_sample, word by word:
                                                               a reader may overlap the writer */
};

/* Adds a sample. For the node's home. */
void history_add(struct history *history, const struct history_sample *sample);

/* Returns the number of samples ever written, and in *first the oldest that can be read if no other
 * is written meanwhile; the two are equal if there are none. */
uint64_t history_end(const struct history *history, uint64_t *first);

/* Copies sample `number`. Returns false if there is none, or if a newer one has taken its place. */
bool history_read(const struct history *history, uint64_t number, struct history_sample *out);

/* True if a sample is due at `now_ms` (CLOCK_MONOTONIC). One is due in each HISTORY_EVERY_MS of the
 * clock, so that a late sample does not delay those after it. */
bool history_due(const struct history *history, uint64_t now_ms);

/* True if the history is in a state that this code can leave at any instruction. May be false while
 * samples are being written. */
bool history_valid(const struct history *history);

#endif
