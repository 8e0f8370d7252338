/* Statistics: the table describes the struct, is printable as it is, and is summed. */
#include "shm/stats.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void each_counter_has_its_place(void **state)
{
    (void)state;
    /* After `first` the counters are contiguous, in the table's order. */
    for (size_t i = 0; i < stats_table_len; i++)
        assert_int_equal(stats_table[i].offset, (i + 1) * sizeof(uint64_t));
    assert_true((stats_table_len + 1) * sizeof(uint64_t) <= sizeof(struct stats));
    assert_int_equal(sizeof(struct stats) % 64, 0);
}

static bool is_metric_name(const char *name)
{
    const size_t len = strlen(name);

    for (size_t i = 0; i < len; i++) {
        if (!islower((unsigned char)name[i]) && name[i] != '_')
            return false;
    }
    return len > 6 && strcmp(name + len - 6, "_total") == 0;
}

/* Either nothing, or one label: word="word". */
static bool is_label(const char *label)
{
    const char *const value = strstr(label, "=\"");

    if (*label == '\0')
        return true;
    return value != NULL && value > label &&
           strspn(value + 2, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(value) - 3 &&
           label[strlen(label) - 1] == '"';
}

static void rows_can_be_printed_as_metrics(void **state)
{
    (void)state;
    for (size_t i = 0; i < stats_table_len; i++) {
        const struct stats_row *const row = &stats_table[i];
        const bool first = i == 0 || strcmp(row->family, row[-1].family) != 0;

        if (!is_metric_name(row->family) || !is_label(row->labels))
            fail_msg("%s{%s} is no metric", row->family, row->labels);
        /* The first row of a family explains it, and only that. */
        if ((row->help[0] != '\0') != first)
            fail_msg("help of %s{%s}", row->family, row->labels);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(row->family, stats_table[j].family) != 0)
                continue;
            if (first || strcmp(row->labels, stats_table[j].labels) == 0)
                fail_msg("%s{%s} stands twice or apart", row->family, row->labels);
        }
    }
}

static void sums_run_over_all_workers(void **state)
{
    (void)state;
    struct stats blocks[3];

    memset(blocks, 0, sizeof(blocks));
    stats_add(&blocks[0].accepted, 1);
    stats_add(&blocks[0].accepted, 2);
    stats_add(&blocks[2].accepted, UINT32_MAX);
    stats_add(&blocks[1].index_rebuilds, 5);
    for (size_t i = 0; i < stats_table_len; i++) {
        const bool first = i == 0, last = i == stats_table_len - 1;
        assert_int_equal(stats_sum(blocks, 3, &stats_table[i]), first  ? UINT64_C(3) + UINT32_MAX
                                                                : last ? 5
                                                                       : 0);
    }
    assert_int_equal(stats_sum(blocks, 2, &stats_table[0]), 3);
    assert_int_equal(stats_sum(blocks, 0, &stats_table[0]), 0);
    assert_int_equal(atomic_load(&blocks[0].first), 0);
}

static void every_counter_is_summed_from_its_own_place(void **state)
{
    (void)state;
    struct stats block;
    uint64_t n = 0;

    memset(&block, 0, sizeof(block));
#define COUNT(field, family, labels, help) stats_add(&block.field, 1000 + n++);
    STATS(COUNT)
#undef COUNT
    assert_int_equal(n, stats_table_len);
    for (size_t i = 0; i < stats_table_len; i++)
        assert_int_equal(stats_sum(&block, 1, &stats_table[i]), 1000 + i);
}

static void a_latency_has_one_bucket(void **state)
{
    uint32_t last = 0;

    (void)state;
    assert_int_equal(latency_bucket(0), 0);
#define AT_BOUND(us, seconds)                                        \
    assert_int_equal(latency_bucket(us), LATENCY_TO_##us);           \
    assert_int_equal(latency_bucket((us) + 1), LATENCY_TO_##us + 1); \
    assert_true((uint32_t)(us) > last);                              \
    assert_true(strtod(seconds, NULL) == (us) / 1e6);                \
    last = (us);
    LATENCY_BOUNDS(AT_BOUND)
#undef AT_BOUND
    assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_ABOVE);
    assert_int_equal(LATENCY_BUCKETS, LATENCY_ABOVE + 1);
}

static void requests_are_counted_by_opcode(void **state)
{
    struct stats block;

    (void)state;
    memset(&block, 0, sizeof(block));
    assert_int_equal(stats_requests_of(&block, 110), 0);
    for (uint32_t i = 0; i < 3 * STATS_OPCODES_MAX; i++)
        stats_add(stats_requests(&block, 100 + i % STATS_OPCODES_MAX), 1);
    for (uint32_t i = 0; i < STATS_OPCODES_MAX; i++)
        assert_int_equal(stats_requests_of(&block, 100 + i), 3);
    assert_int_equal(block.requests_other, 0);
    stats_add(stats_requests(&block, 99), 7); /* no entry is left */
    assert_int_equal(stats_requests_of(&block, 99), 0);
    assert_int_equal(block.requests_other, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_counter_has_its_place),
        cmocka_unit_test(rows_can_be_printed_as_metrics),
        cmocka_unit_test(sums_run_over_all_workers),
        cmocka_unit_test(every_counter_is_summed_from_its_own_place),
        cmocka_unit_test(a_latency_has_one_bucket),
        cmocka_unit_test(requests_are_counted_by_opcode),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
