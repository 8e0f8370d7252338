/*
 * The histogram of wspush-bench: each value is reported within 1/128 and never too low, compared
 * with percentiles of the sorted values.
 */
#include "tools/bench_histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct histogram histogram, other;

static int empty(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof(histogram));
    memset(&other, 0, sizeof(other));
    return 0;
}

static void nothing_recorded_is_nothing_told(void **state)
{
    (void)state;
    assert_int_equal(histogram_percentile(&histogram, 50), 0);
    assert_int_equal(histogram_percentile(&histogram, 100), 0);
    assert_true(histogram_mean(&histogram) == 0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 200; value++)
        histogram_record(&histogram, value);
    for (unsigned percent = 1; percent <= 100; percent++)
        assert_int_equal(histogram_percentile(&histogram, percent), 2 * percent);
    assert_true(histogram_mean(&histogram) == 100.5);
}

/* A single value is reported exactly, because it is the maximum; with a larger one, it is reported
 * as the top of its bucket: at least itself, at most 1/128 more. */
static void assert_told(uint64_t value)
{
    memset(&histogram, 0, sizeof(histogram));
    histogram_record(&histogram, value);
    assert_int_equal(histogram_percentile(&histogram, 50), value);
    histogram_record(&histogram, UINT64_C(1) << 60);
    const uint64_t told = histogram_percentile(&histogram, 50);
    assert_in_range(told, value, value + value / 128);
    assert_int_equal(histogram_percentile(&histogram, 100), UINT64_C(1) << 60);
}

static void every_magnitude_is_told_to_a_128th(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < HISTOGRAM_TOP; bit++) {
        const uint64_t power = UINT64_C(1) << bit;
        assert_told(power);
        assert_told(power + power / 3);
        if (bit + 1 < HISTOGRAM_TOP)
            assert_told(2 * power - 1);
    }
    assert_told(0);
}

static void what_is_too_large_is_kept_as_the_largest(void **state)
{
    (void)state;
    histogram_record(&histogram, UINT64_C(1) << HISTOGRAM_TOP);
    histogram_record(&histogram, UINT64_MAX / 2);
    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram_percentile(&histogram, 50), UINT64_MAX / 2);
}

static int by_size(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* The value of that rank among the sorted ones: the definition that the histogram approximates. */
static uint64_t exact_percentile(const uint64_t *sorted, size_t count, unsigned per_mille)
{
    const size_t rank = (count * per_mille + 999) / 1000;
    return sorted[rank == 0 ? 0 : rank - 1];
}

static void percentiles_are_those_of_the_sorted_values(void **state)
{
    enum { VALUES = 20000 };
    static uint64_t values[VALUES];
    static const unsigned per_mille[] = {1, 10, 250, 500, 900, 990, 999, 1000};
    uint64_t random = 88172645463325252;

    (void)state;
    for (size_t i = 0; i < VALUES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        values[i] = random >> (24 + random % 40); /* of all magnitudes up to 2^40 */
        histogram_record(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), by_size);
    for (size_t i = 0; i < sizeof(per_mille) / sizeof(per_mille[0]); i++) {
        const uint64_t exact = exact_percentile(values, VALUES, per_mille[i]);
        const uint64_t told = histogram_percentile(&histogram, per_mille[i] / 10.0);
        assert_in_range(told, exact, exact + exact / 128);
    }
}

static void histograms_add_up(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 100; value++)
        histogram_record(value % 2 == 0 ? &histogram : &other, value);
    histogram_add(&histogram, &other);
    assert_int_equal(histogram.count, 100);
    assert_int_equal(histogram_percentile(&histogram, 99), 99);
    assert_int_equal(histogram_percentile(&histogram, 100), 100);
    assert_true(histogram_mean(&histogram) == 50.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_recorded_is_nothing_told, empty),
        cmocka_unit_test_setup(small_values_are_exact, empty),
        cmocka_unit_test_setup(every_magnitude_is_told_to_a_128th, empty),
        cmocka_unit_test_setup(what_is_too_large_is_kept_as_the_largest, empty),
        cmocka_unit_test_setup(percentiles_are_those_of_the_sorted_values, empty),
        cmocka_unit_test_setup(histograms_add_up, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
