/* Recorded descriptors are found in order, with at most their block, in tables of awkward sizes.
 */
#include "worker/unrest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void finds_nothing_where_nothing_was_noted(void **state)
{
    (void)state;
    const uint32_t highs[] = {0, 1, UNREST_BLOCKS, 1000000};
    for (size_t i = 0; i < sizeof(highs) / sizeof(highs[0]); i++) {
        const struct unrest unrest = unrest_among(highs[i]);
        assert_int_equal(unrest_next(&unrest, 0), highs[i]);
    }
}

/* Every descriptor from `from` on that is found, one by one, is in one block with `fd`, and `fd` is
 * among them. */
static void assert_finds(const struct unrest *unrest, uint32_t fd)
{
    uint32_t count = 0;
    int there = 0;
    for (uint32_t at = unrest_next(unrest, 0); at < unrest->high;
         at = unrest_next(unrest, at + 1)) {
        assert_int_equal(at / unrest->size, fd / unrest->size);
        there |= at == fd;
        count++;
    }
    assert_true(there);
    assert_in_range(count, 1, unrest->size);
}

static void finds_each_descriptor_of_each_size(void **state)
{
    (void)state;
    const uint32_t highs[] = {1,    2,    63,   64,    65,   UNREST_BLOCKS - 1, UNREST_BLOCKS, 4097,
                              8191, 8192, 8193, 20011, 65536};
    for (size_t i = 0; i < sizeof(highs) / sizeof(highs[0]); i++)
        for (uint32_t fd = 0; fd < highs[i]; fd += 1 + fd / 97) {
            struct unrest unrest = unrest_among(highs[i]);
            unrest_note(&unrest, fd);
            assert_finds(&unrest, fd);
        }
}

static void finds_the_last_of_a_large_table(void **state)
{
    (void)state;
    struct unrest unrest = unrest_among(10000000);
    unrest_note(&unrest, 9999999);
    assert_finds(&unrest, 9999999);
}

static void finds_several_in_order(void **state)
{
    (void)state;
    const uint32_t noted[] = {0, 7, 8, 4000, 4094};
    struct unrest unrest = unrest_among(UNREST_BLOCKS - 1); /* blocks of one */
    uint32_t at = 0;
    for (size_t i = sizeof(noted) / sizeof(noted[0]); i > 0; i--)
        unrest_note(&unrest, noted[i - 1]);
    for (size_t i = 0; i < sizeof(noted) / sizeof(noted[0]); i++, at++) {
        at = unrest_next(&unrest, at);
        assert_int_equal(at, noted[i]);
    }
    assert_int_equal(unrest_next(&unrest, at), unrest.high);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_nothing_where_nothing_was_noted),
        cmocka_unit_test(finds_each_descriptor_of_each_size),
        cmocka_unit_test(finds_the_last_of_a_large_table),
        cmocka_unit_test(finds_several_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
