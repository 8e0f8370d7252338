/*
 * A histogram of times in nanoseconds, exact to 1/128 of the value from 1 ns to 18 minutes: the
 * log-linear buckets of HdrHistogram (Gil Tene). Recording is a shift and an addition, so that it
 * can be done for each push; histograms of several processes can be added.
 *
 *   value             0 .. 127  128 .. 255   256 .. 511        512 .. 1023       ...
 *   a bucket holds        1          1            2                 4            ...
 *   buckets              128        128          128               128           ...
 */
#ifndef WSPUSHD_TOOLS_BENCH_HISTOGRAM_H
#define WSPUSHD_TOOLS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_BITS = 7,                   /* 2^7 buckets for each power of two */
    HISTOGRAM_TOP = 40,                   /* values above 2^40 count in the last bucket */
    HISTOGRAM_EACH = 1 << HISTOGRAM_BITS, /* 128 */
    HISTOGRAM_ROWS = HISTOGRAM_TOP - HISTOGRAM_BITS + 1, /* the first row holds 0 .. 127 */
    HISTOGRAM_BUCKETS = HISTOGRAM_ROWS * HISTOGRAM_EACH,
};

/* All zero is an empty histogram. */
struct histogram {
    uint64_t count; /* number of recorded values */
    uint64_t sum, largest;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *histogram, uint64_t value);

/* Adds the values of `from` to `to`. */
void histogram_add(struct histogram *to, const struct histogram *from);

/* Returns the value that `percent` (0 to 100) of the recorded values do not exceed: the highest
 * value of its bucket, but at most the largest value recorded. 0 if nothing was recorded. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* Returns the mean; 0 if nothing was recorded. */
double histogram_mean(const struct histogram *histogram);

#endif
