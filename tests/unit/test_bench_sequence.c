/*
 * wspush-bench's evaluation of the numbers that a client receives, against a plain list of them: in
 * any order, with any of them missing or duplicated.
 */
#include "tools/bench_sequence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void in_order_is_in_order(void **state)
{
    struct sequence got = {0};

    (void)state;
    for (uint32_t number = 0; number < 1000; number++)
        assert_int_equal(sequence_take(&got, number), ARRIVAL_FIRST);
    assert_int_equal(got.distinct, 1000);
    assert_int_equal(got.next, 1000);
}

static void a_missing_one_is_missing(void **state)
{
    struct sequence got = {0};

    (void)state;
    for (uint32_t number = 0; number < 200; number++) {
        if (number % 10 != 3)
            assert_int_equal(sequence_take(&got, number), ARRIVAL_FIRST);
    }
    assert_int_equal(got.next, 200);
    assert_int_equal(got.distinct, 180);
}

static void overtaken_ones_are_late_and_not_lost(void **state)
{
    struct sequence got = {0};

    (void)state;
    assert_int_equal(sequence_take(&got, 1), ARRIVAL_FIRST);
    assert_int_equal(sequence_take(&got, 0), ARRIVAL_LATE);
    assert_int_equal(sequence_take(&got, 3), ARRIVAL_FIRST);
    assert_int_equal(sequence_take(&got, 2), ARRIVAL_LATE);
    assert_int_equal(got.distinct, 4);
}

static void twice_is_doubled_however_it_came_first(void **state)
{
    struct sequence got = {0};

    (void)state;
    sequence_take(&got, 0);
    assert_int_equal(sequence_take(&got, 0), ARRIVAL_DOUBLED);
    sequence_take(&got, 5);
    sequence_take(&got, 2);
    assert_int_equal(sequence_take(&got, 2), ARRIVAL_DOUBLED);
    assert_int_equal(sequence_take(&got, 5), ARRIVAL_DOUBLED);
    assert_int_equal(got.distinct, 3);
}

static void the_window_has_64_numbers(void **state)
{
    struct sequence got = {0};

    (void)state;
    sequence_take(&got, 100);
    assert_int_equal(sequence_take(&got, 100 - 63), ARRIVAL_LATE);
    assert_int_equal(sequence_take(&got, 100 - 64), ARRIVAL_DOUBLED); /* can no longer be told */
    assert_int_equal(sequence_take(&got, 1000), ARRIVAL_FIRST);       /* farther than the window */
    assert_int_equal(sequence_take(&got, 999), ARRIVAL_LATE);
    assert_int_equal(got.distinct, 4);
}

/* Any order within the window, compared with a list. */
static void random_orders_are_told_apart(void **state)
{
    enum { NUMBERS = 5000, SPAN = 60 };
    static bool seen[NUMBERS];
    struct sequence got = {0};
    uint32_t base = 0, top = 0, distinct = 0;
    uint64_t random = 88172645463325252;

    (void)state;
    memset(seen, 0, sizeof(seen));
    while (base + SPAN < NUMBERS) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        const uint32_t number = base + (uint32_t)(random % SPAN);
        const enum arrival arrival = sequence_take(&got, number);
        if (seen[number])
            assert_int_equal(arrival, ARRIVAL_DOUBLED);
        else
            assert_int_equal(arrival, number >= top ? ARRIVAL_FIRST : ARRIVAL_LATE);
        distinct += !seen[number];
        seen[number] = true;
        top = number >= top ? number + 1 : top;
        base += random >> 32 & 1;
    }
    assert_int_equal(got.distinct, distinct);
    assert_int_equal(got.next, top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_is_in_order),
        cmocka_unit_test(a_missing_one_is_missing),
        cmocka_unit_test(overtaken_ones_are_late_and_not_lost),
        cmocka_unit_test(twice_is_doubled_however_it_came_first),
        cmocka_unit_test(the_window_has_64_numbers),
        cmocka_unit_test(random_orders_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
