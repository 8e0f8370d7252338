/*
 * The distribution of the limit on open files (common/budget.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/budget.h"

static void with_a_high_limit_all_may_come(void **state)
{
    const struct budget budget = budget_share(1048576, 100000, 16, 2);
    (void)state;
    assert_int_equal(budget.clients, 100000);
    assert_int_equal(budget.refused, 1024);
    assert_int_equal(budget.reserve, 64 + 16 * 8 + 2 * 128);
}

static void the_reserve_grows_with_the_workers(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers < 64; workers++) {
        const struct budget few = budget_share(100000, 50000, 64, workers);
        const struct budget more = budget_share(100000, 50000, 64, workers + 1);
        assert_true(few.reserve < more.reserve);
    }
}

static void nobody_takes_the_reserve(void **state)
{
    static const uint32_t limits[] = {20, 64, 256, 700, 1024, 1200, 4096, 20000, 65536, 1048576};
    static const uint32_t most[] = {1, 3, 600, 1000, 19000, 100000, 16000000};
    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        for (size_t k = 0; k < sizeof(most) / sizeof(most[0]); k++)
            for (uint32_t workers = 1; workers <= 64; workers++) {
                const struct budget budget = budget_share(limits[i], most[k], 64, workers);
                assert_int_equal(budget.limit, limits[i]);
                assert_true(budget.reserve > 0 && budget.clients > 0);
                assert_true(budget.reserve + budget.clients + budget.refused <= limits[i]);
                assert_true(budget.clients <= most[k]);
                assert_true(budget.end >= budget.clients + budget.refused + budget.reserve / 2);
                assert_true(limits[i] < 64 || budget.end <= limits[i] - 8);
                assert_true(budget.clients == most[k] || budget.clients >= limits[i] / 2 * 63 / 64);
            }
}

static void the_limit_can_be_raised(void **state)
{
    (void)state;
    assert_true(budget_limit() <= budget_raise_limit());
    assert_int_equal(budget_limit(), budget_raise_limit());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_a_high_limit_all_may_come),
        cmocka_unit_test(the_reserve_grows_with_the_workers),
        cmocka_unit_test(nobody_takes_the_reserve),
        cmocka_unit_test(the_limit_can_be_raised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
