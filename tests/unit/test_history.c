/* The history of the node: samples that are read while others are written, and one that is half
 * written because its writer died. */
#include "shm/history.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct history history;

static int begin(void **state)
{
    (void)state;
    memset(&history, 0, sizeof(history));
    return 0;
}

/* Sample n: every word depends on n. */
static struct history_sample numbered(uint64_t n)
{
    struct history_sample sample = {.at_ms = n * HISTORY_EVERY_MS,
#define SET_FIELD(name, grows) .name = n,
                                    HISTORY_FIELDS(SET_FIELD)
#undef SET_FIELD
    };
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        sample.latency[i] = n;
    return sample;
}

static void add_numbered(uint64_t n)
{
    const struct history_sample sample = numbered(n);
    history_add(&history, &sample);
}

static void expect_numbered(uint64_t n)
{
    const struct history_sample wanted = numbered(n);
    struct history_sample sample;
    assert_true(history_read(&history, n, &sample));
    assert_memory_equal(&sample, &wanted, sizeof(sample));
}

static void an_empty_history_has_nothing_to_read(void **state)
{
    struct history_sample sample;
    uint64_t first;
    (void)state;
    assert_int_equal(history_end(&history, &first), 0);
    assert_int_equal(first, 0);
    assert_false(history_read(&history, 0, &sample));
    assert_true(history_valid(&history));
    assert_true(history_due(&history, 0));
}

/* An hour is 360 intervals of ten seconds. */
static void the_last_hour_can_be_read(void **state)
{
    struct history_sample sample;
    (void)state;
    for (uint64_t n = 0; n < 3 * HISTORY_PLACES; n++) {
        uint64_t first;
        add_numbered(n);
        assert_true(history_valid(&history));
        assert_int_equal(history_end(&history, &first), n + 1);
        assert_int_equal(first, n < 361 ? 0 : n - 360);
        expect_numbered(first);
        expect_numbered(n);
        assert_false(history_read(&history, n + 1, &sample));
        if (first > 0)
            assert_false(history_read(&history, first - 1, &sample));
    }
    for (uint64_t n = 3 * HISTORY_PLACES - 361; n < 3 * HISTORY_PLACES; n++)
        expect_numbered(n);
}

/* A sample that its dead writer left at any stage is invisible, leaves the others unchanged, and is
 * written again by the successor. */
static void a_half_written_sample_is_written_again(void **state)
{
    uint64_t first;
    (void)state;
    for (uint64_t n = 0; n < 2 * HISTORY_PLACES; n++)
        add_numbered(n);
    const uint64_t end = history_end(&history, &first);
    for (size_t words = 0; words <= HISTORY_WORDS; words++) {
        for (size_t i = 0; i < words; i++)
            history.sample[end % HISTORY_PLACES][i] = UINT64_MAX;
        assert_true(history_valid(&history));
        assert_int_equal(history_end(&history, &first), end);
        for (uint64_t n = first; n < end; n++)
            expect_numbered(n);
    }
    add_numbered(end);
    expect_numbered(end);
    assert_true(history_valid(&history));
}

static void a_sample_is_due_in_each_ten_seconds_of_the_clock(void **state)
{
    struct history_sample sample = numbered(0);
    (void)state;
    sample.at_ms = 10000;
    history_add(&history, &sample);
    assert_false(history_due(&history, 10000));
    assert_false(history_due(&history, 19999));
    assert_true(history_due(&history, 20000));
    sample.at_ms = 20999; /* late */
    history_add(&history, &sample);
    assert_false(history_due(&history, 29999));
    assert_true(history_due(&history, 30000));
    assert_true(history_due(&history, 300000));
}

static void what_only_grows_never_falls(void **state)
{
    (void)state;
    add_numbered(1);
    add_numbered(2);
    assert_true(history_valid(&history));
    for (size_t word = 0; word < HISTORY_WORDS; word++) {
        const struct history_sample good = numbered(2);
        struct history_sample bad = good;
        const uint64_t less = 0;
        memcpy((uint8_t *)&bad + word * sizeof(less), &less, sizeof(less));
        atomic_store(&history.count, 1);
        history_add(&history, &bad);
        const bool may_fall =
            word == offsetof(struct history_sample, connections) / sizeof(uint64_t) ||
            word == offsetof(struct history_sample, resident_memory_bytes) / sizeof(uint64_t);
        assert_int_equal(history_valid(&history), may_fall);
    }
}

enum { RACE_SAMPLES = 200000 };

static void *write_samples(void *unused)
{
    for (uint64_t n = 0; n < RACE_SAMPLES; n++)
        add_numbered(n);
    return unused;
}

static void a_sample_is_whole_or_gone_however_fast_others_follow(void **state)
{
    pthread_t writer;
    uint64_t end = 0;
    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, write_samples, NULL), 0);
    while (end < RACE_SAMPLES) {
        struct history_sample sample;
        uint64_t first;
        end = history_end(&history, &first);
        for (uint64_t n = first; n < end && n < first + 3; n++) {
            const struct history_sample wanted = numbered(n);
            if (history_read(&history, n, &sample))
                assert_memory_equal(&sample, &wanted, sizeof(sample));
        }
    }
    pthread_join(writer, NULL);
    assert_true(history_valid(&history));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_history_has_nothing_to_read, begin),
        cmocka_unit_test_setup(the_last_hour_can_be_read, begin),
        cmocka_unit_test_setup(a_half_written_sample_is_written_again, begin),
        cmocka_unit_test_setup(a_sample_is_due_in_each_ten_seconds_of_the_clock, begin),
        cmocka_unit_test_setup(what_only_grows_never_falls, begin),
        cmocka_unit_test_setup(a_sample_is_whole_or_gone_however_fast_others_follow, begin),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
