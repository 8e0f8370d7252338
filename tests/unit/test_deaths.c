/*
 * Repeated deaths: which workers are replaced at once, and which have to wait.
 */
#include "master/deaths.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { OLD_MS = 500 }; /* not young, not settled */

static void a_kill_is_replaced_at_once_however_often(void **state)
{
    (void)state;
    struct deaths deaths = {0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(deaths_note(&deaths, OLD_MS, false), 0);
    assert_int_equal(deaths_failing(&deaths), 0);
}

static void who_is_killed_young_waits_longer_each_time(void **state)
{
    (void)state;
    static const uint32_t expected[] = {10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10000};
    struct deaths deaths = {0};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_int_equal(deaths_note(&deaths, 5, false), expected[i]);
    assert_int_equal(deaths_note(&deaths, 5, false), DEATHS_WAIT_LAST_MS);
    assert_int_equal(deaths_note(&deaths, OLD_MS, false), 0);
    assert_int_equal(deaths_note(&deaths, 5, false), DEATHS_WAIT_FIRST_MS);
}

static void the_first_of_own_making_cost_nothing(void **state)
{
    (void)state;
    struct deaths deaths = {0};
    for (int i = 0; i < DEATHS_FREE; i++) {
        assert_int_equal(deaths_note(&deaths, 1, true), 0);
        assert_int_equal(deaths_failing(&deaths), 0);
    }
    assert_int_equal(deaths_note(&deaths, 1, true), DEATHS_WAIT_FIRST_MS);
    assert_int_equal(deaths_failing(&deaths), DEATHS_FREE + 1);
}

static void a_crash_loop_comes_to_one_death_in_ten_seconds(void **state)
{
    (void)state;
    struct deaths deaths = {0};
    uint32_t before = 0, wait = 0, count = 0;
    for (; wait < DEATHS_WAIT_LAST_MS; count++) {
        wait = deaths_note(&deaths, OLD_MS, true);
        assert_in_range(wait, before, DEATHS_WAIT_LAST_MS);
        before = wait;
    }
    assert_in_range(count, 20, 60);
    assert_int_equal(deaths_note(&deaths, OLD_MS, true), DEATHS_WAIT_LAST_MS);
    assert_in_range(deaths_failing(&deaths), count, count + 1);
}

static void a_long_life_ends_the_row(void **state)
{
    (void)state;
    struct deaths deaths = {0};
    for (int i = 0; i < 20; i++)
        deaths_note(&deaths, 1, true);
    deaths_note_life(&deaths, DEATHS_SETTLED_MS - 1);
    assert_int_not_equal(deaths_failing(&deaths), 0);
    deaths_note_life(&deaths, DEATHS_SETTLED_MS);
    assert_int_equal(deaths_failing(&deaths), 0);
    assert_int_equal(deaths_note(&deaths, 1, true), 0);
}

static void a_death_after_a_long_life_is_the_first(void **state)
{
    (void)state;
    struct deaths deaths = {0};
    for (int i = 0; i < 20; i++)
        deaths_note(&deaths, 1, true);
    assert_int_equal(deaths_note(&deaths, DEATHS_SETTLED_MS, true), 0);
    assert_int_equal(deaths.own, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_is_replaced_at_once_however_often),
        cmocka_unit_test(who_is_killed_young_waits_longer_each_time),
        cmocka_unit_test(the_first_of_own_making_cost_nothing),
        cmocka_unit_test(a_crash_loop_comes_to_one_death_in_ten_seconds),
        cmocka_unit_test(a_long_life_ends_the_row),
        cmocka_unit_test(a_death_after_a_long_life_is_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
