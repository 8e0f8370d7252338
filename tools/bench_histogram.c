/*
 * See the header. A percentile is told as the highest value of its bucket: a latency is never made
 * to look better than it was. It refuses nothing: a value beyond the last bucket counts there, and
 * the largest is kept exactly.
 */
#include "tools/bench_histogram.h"

#include <stddef.h>

static size_t bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_EACH)
        return (size_t)value;
    const unsigned top = 63U - (unsigned)__builtin_clzll(value); /* the highest bit, 7 or more */
    if (top >= HISTOGRAM_TOP)
        return HISTOGRAM_BUCKETS - 1;
    const unsigned shift = top - HISTOGRAM_BITS;
    /* value >> shift is from 128 to 255: the row's first bucket and its place in the row. */
    return (size_t)shift * HISTOGRAM_EACH + (size_t)(value >> shift);
}

/* The highest value that counts in a bucket. */
static uint64_t bucket_top(size_t bucket)
{
    if (bucket < 2 * (size_t)HISTOGRAM_EACH)
        return bucket;
    const unsigned shift = (unsigned)(bucket / HISTOGRAM_EACH) - 1;
    const uint64_t base = bucket % HISTOGRAM_EACH + HISTOGRAM_EACH;
    return ((base + 1) << shift) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->bucket[bucket_of(value)]++;
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->largest)
        histogram->largest = value;
}

void histogram_add(struct histogram *to, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
    to->count += from->count;
    to->sum += from->sum;
    if (from->largest > to->largest)
        to->largest = from->largest;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    /* The rank of the value that is asked for, from 1: rounded up, so that of 100 values the 99th
     * percentile is the 99th. What floating point adds to a whole number is taken off again. */
    const double exact = percent / 100 * (double)histogram->count;
    uint64_t rank = (uint64_t)(exact + 1 - 1e-6);
    uint64_t passed = 0;

    if (rank < 1)
        rank = 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        passed += histogram->bucket[i];
        if (passed >= rank) {
            const uint64_t top = bucket_top(i);
            return top < histogram->largest ? top : histogram->largest;
        }
    }
    return histogram->largest; /* in the last bucket, which has no top; or there is none */
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count;
}
