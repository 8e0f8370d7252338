/*
 * See the header. A percentile is the highest value of its bucket, so that a latency is never
 * reported lower than it was. Every value is accepted: one beyond the last bucket counts there, and
 * the largest value is kept exactly.
 */
#include "tools/bench_histogram.h"

#include <stddef.h>

static size_t find_value_bucket(uint64_t value)
{
    if (value < HISTOGRAM_EACH)
        return (size_t)value;
    const unsigned top = 63U - (unsigned)__builtin_clzll(value); /* the highest bit, 7 or more */
    if (top >= HISTOGRAM_TOP)
        return HISTOGRAM_BUCKETS - 1;
    const unsigned shift = top - HISTOGRAM_BITS;
    /* value >> shift is from 128 to 255: the first bucket of the row and the index in it. */
    return (size_t)shift * HISTOGRAM_EACH + (size_t)(value >> shift);
}

/* Returns the highest value that counts in a bucket. */
static uint64_t highest_bucket_value(size_t bucket)
{
    if (bucket < 2 * (size_t)HISTOGRAM_EACH)
        return bucket;
    const unsigned shift = (unsigned)(bucket / HISTOGRAM_EACH) - 1;
    const uint64_t base = bucket % HISTOGRAM_EACH + HISTOGRAM_EACH;
    return ((base + 1) << shift) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->bucket[find_value_bucket(value)]++;
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
    /* The rank of the requested value, from 1, rounded up, so that the 99th percentile of 100
     * values is the 99th. Rounding errors above a whole number are removed first. */
    const double exact = percent / 100 * (double)histogram->count;
    uint64_t rank = (uint64_t)(exact + 1 - 1e-6);
    uint64_t passed = 0;

    if (rank < 1)
        rank = 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        passed += histogram->bucket[i];
        if (passed >= rank) {
            const uint64_t top = highest_bucket_value(i);
            return top < histogram->largest ? top : histogram->largest;
        }
    }
    return histogram->largest; /* in the last bucket, which has no top; or nothing was recorded */
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count;
}
