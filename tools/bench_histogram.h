/*
 * A histogram of times in nanoseconds, exact to 1/128 of the value from 1 ns to 18 minutes: the
 * log-linear buckets of HdrHistogram (Gil Tene). Recording is a shift and an addition, so that it
 * can be done for each push; histograms of several processes are added up.
 *
 *   value             0 .. 127  128 .. 255   256 .. 511        512 .. 1023       ...
 *   a bucket holds        1          1            2                 4            ...
 *   buckets              128        128          128               128           ...
 */
#ifndef WSPUSHD_TOOLS_BENCH_HISTOGRAM_H
#define WSPUSHD_TOOLS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_BITS = 7,                                  /* 2^7 buckets for each power of two */
    HISTOGRAM_TOP = 40,                                  /* above 2^40 the last bucket counts */
    HISTOGRAM_EACH = 1 << HISTOGRAM_BITS,                /* 128 */
    HISTOGRAM_ROWS = HISTOGRAM_TOP - HISTOGRAM_BITS + 1, /* the first holds 0 .. 127 */
    HISTOGRAM_BUCKETS = HISTOGRAM_ROWS * HISTOGRAM_EACH,
};

/* All zero is an empty one. */
struct histogram {
    uint64_t count; /* of recorded values */
    uint64_t sum, largest;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *histogram, uint64_t value);

/* Adds the second's values to the first. */
void histogram_add(struct histogram *to, const struct histogram *from);

/* The value that `percent` (0 to 100) of the recorded ones do not exceed, as the highest that its
 * bucket may hold, but never above the largest that was recorded; 0 where nothing was. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* Their mean; 0 where nothing was recorded. */
double histogram_mean(const struct histogram *histogram);

#endif
