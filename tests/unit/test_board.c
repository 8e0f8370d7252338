/* The board: reports that are read while others are written, and the schedule by which clients
 * reconnect. */
#include "shm/board.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct board board;

static int begin(void **state)
{
    (void)state;
    memset(&board, 0, sizeof(board));
    return 0;
}

/* ---- Reports ---- */

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(change_name(CHANGE_RELOAD), "reload");
    assert_string_equal(change_name(CHANGE_UPGRADE), "upgrade");
    assert_string_equal(change_name(CHANGE_COUNT), "unknown");
    assert_string_equal(change_outcome_name(CHANGE_DONE), "done");
    assert_string_equal(change_outcome_name(CHANGE_REFUSED), "refused");
    assert_string_equal(change_outcome_name(CHANGE_FAILED), "failed");
    assert_string_equal(change_outcome_name(CHANGE_OUTCOME_COUNT), "unknown");
}

static void the_last_report_is_read_with_its_number(void **state)
{
    struct change_report report;

    (void)state;
    assert_int_equal(board_read(&board, CHANGE_RELOAD, &report), 0);
    for (uint32_t n = 1; n <= 5; n++) {
        char text[32];
        snprintf(text, sizeof(text), "report %u", n);
        assert_int_equal(board_begun(&board, CHANGE_RELOAD), n - 1);
        board_begin(&board, CHANGE_RELOAD);
        assert_int_equal(board_begun(&board, CHANGE_RELOAD), n);
        assert_true(board_valid(&board));
        board_report(&board, CHANGE_RELOAD, n % 3, 1000 + n, text);
        assert_true(board_valid(&board));
        assert_int_equal(board_read(&board, CHANGE_RELOAD, &report), n);
        assert_int_equal(report.outcome, n % 3);
        assert_int_equal(report.at_ms, 1000 + n);
        assert_string_equal(report.text, text);
    }
    assert_int_equal(board_read(&board, CHANGE_UPGRADE, &report), 0);
    board_begin(&board, CHANGE_UPGRADE);
    board_report(&board, CHANGE_UPGRADE, CHANGE_DONE, 7, "");
    assert_int_equal(board_read(&board, CHANGE_UPGRADE, &report), 1);
    assert_int_equal(board_read(&board, CHANGE_RELOAD, &report), 5);
}

static void a_change_goes_on_where_it_began_on_another_board(void **state)
{
    struct change_report report;

    (void)state;
    board_resume(&board, CHANGE_UPGRADE, 7);
    assert_true(board_valid(&board));
    assert_int_equal(board_begun(&board, CHANGE_UPGRADE), 7);
    board_report(&board, CHANGE_UPGRADE, CHANGE_DONE, 1, "text");
    assert_true(board_valid(&board));
    assert_int_equal(board_read(&board, CHANGE_UPGRADE, &report), 7);
    assert_string_equal(report.text, "text");
}

/* Of all lengths around the limit, and far beyond. */
static void long_texts_are_cut_and_say_so(void **state)
{
    static char text[2 * CHANGE_TEXT_MAX];
    struct change_report report;

    (void)state;
    for (size_t len = CHANGE_TEXT_MAX - 30; len < sizeof(text); len += len / 64) {
        memset(text, 'x', len);
        text[len] = '\0';
        board_begin(&board, CHANGE_RELOAD);
        board_report(&board, CHANGE_RELOAD, CHANGE_REFUSED, 0, text);
        board_read(&board, CHANGE_RELOAD, &report);
        assert_true(board_valid(&board));
        if (len < CHANGE_TEXT_MAX)
            assert_string_equal(report.text, text);
        else
            assert_non_null(strstr(report.text, "x\n... the log has all of it"));
    }
    for (size_t shift = 0; shift < 3; shift++) { /* never within a character */
        memset(text, 'x', shift);
        text[shift] = '\0';
        while (strlen(text) < CHANGE_TEXT_MAX)
            strcat(text, "我");
        board_report(&board, CHANGE_RELOAD, CHANGE_REFUSED, 0, text);
        board_read(&board, CHANGE_RELOAD, &report);
        assert_non_null(strstr(report.text, "我\n... the log has all of it"));
    }
}

enum { RACE_REPORTS = 20000 };

/* Every byte of a report depends on its number. */
static void *write_reports(void *unused)
{
    char text[64];

    for (uint32_t n = 1; n <= RACE_REPORTS; n++) {
        memset(text, 'a' + (int)(n % 26), sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        board_report(&board, CHANGE_UPGRADE, n % 3, n, text);
    }
    return unused;
}

static void a_report_is_whole_however_fast_others_follow(void **state)
{
    pthread_t writer;
    struct change_report report;
    uint32_t number = 0;

    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, write_reports, NULL), 0);
    while (number < RACE_REPORTS) {
        const uint32_t next = board_read(&board, CHANGE_UPGRADE, &report);
        assert_true(next >= number);
        number = next;
        if (number == 0)
            continue;
        assert_int_equal(report.at_ms, number);
        assert_int_equal(report.outcome, number % 3);
        assert_int_equal(strspn(report.text, (char[]){(char)('a' + number % 26), '\0'}), 63);
    }
    pthread_join(writer, NULL);
}

static void each_part_of_a_board_is_checked(void **state)
{
    (void)state;
    const struct board good = board;
    uint64_t word;

    assert_true(board_valid(&board));
#define EXPECT_WRONG(field, value)         \
    do {                                   \
        board.field = (value);             \
        assert_false(board_valid(&board)); \
        board = good;                      \
    } while (0)
    EXPECT_WRONG(change[CHANGE_RELOAD].begun, 2);
    EXPECT_WRONG(change[CHANGE_RELOAD].number, 1);
    EXPECT_WRONG(asked, 1u << CHANGE_COUNT);
    EXPECT_WRONG(ending, ENDING_RESTART + 1);
    EXPECT_WRONG(change[CHANGE_UPGRADE].report[0][1], CHANGE_OUTCOME_COUNT); /* outcome */
#undef EXPECT_WRONG
    memset(&word, 'x', sizeof(word));
    for (size_t i = 2; i < CHANGE_WORDS; i++)
        board.change[CHANGE_RELOAD].report[0][i] = word;
    assert_false(board_valid(&board)); /* the text does not end */
}

/* ---- Turns ---- */

enum { WINDOW_S = 10, WINDOW_MS = WINDOW_S * 1000 };

/* Adds the turns of the clients of all workers to `seconds`. `told[i]`: the time at which worker i
 * tells its clients; `from`: ranks that an earlier worker has told. */
static uint32_t take_turns(const uint32_t *told, uint32_t workers, uint32_t seconds[WINDOW_S])
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < workers; i++) {
        const struct turns turns = board_turns(&board, i, workers, told[i]);
        for (uint32_t rank = 0; rank < told[i]; rank++) {
            const uint32_t ms = turn_ms(&turns, rank, WINDOW_MS);
            assert_true(ms < WINDOW_MS);
            seconds[ms / 1000]++;
        }
        sum += told[i];
    }
    return sum;
}

static uint32_t most(const uint32_t seconds[WINDOW_S])
{
    uint32_t max = 0;

    for (size_t i = 0; i < WINDOW_S; i++)
        max = seconds[i] > max ? seconds[i] : max;
    return max;
}

/* However many workers there are and however uneven their shares, down to one client: in no second
 * more than the mean, rounded up. */
static void no_second_has_more_than_the_mean(void **state)
{
    static const uint32_t cases[][4] = {
        {1},          {0, 0, 1},      {1, 1, 1, 1},        {3, 2, 1},
        {7, 7},       {0, 10, 0, 10}, {13, 500, 1, 99},    {2000},
        {1000, 1000}, {1, 1999},      {40000, 1, 3, 20011}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t seconds[WINDOW_S] = {0};
        memset(&board, 0, sizeof(board));
        board_end(&board, ENDING_STOP, cases[i], 4);
        assert_true(board_valid(&board));
        const uint32_t sum = take_turns(cases[i], 4, seconds);
        assert_in_range(most(seconds), 1, (sum + WINDOW_S - 1) / WINDOW_S);
    }
}

/* A worker dies when it has told some of its clients; its successor tells the others. */
static void a_successor_takes_the_turns_that_are_left(void **state)
{
    const uint32_t share[] = {400, 1600};
    uint32_t seconds[WINDOW_S] = {0};

    (void)state;
    board_end(&board, ENDING_RESTART, share, 2);
    take_turns((const uint32_t[]){400, 0}, 2, seconds);
    const struct turns first = board_turns(&board, 1, 2, 1600);
    for (uint32_t rank = 0; rank < 700; rank++)
        seconds[turn_ms(&first, rank, WINDOW_MS) / 1000]++;
    const struct turns rest = board_turns(&board, 1, 2, 900);
    for (uint32_t rank = 0; rank < 900; rank++)
        seconds[turn_ms(&rest, rank, WINDOW_MS) / 1000]++;
    assert_int_equal(most(seconds), 200);
}

/* The few clients that connected after the shares were written share the places of others. */
static void more_clients_than_the_share_have_turns_too(void **state)
{
    const uint32_t share[] = {0, 100, 0};
    uint32_t seconds[WINDOW_S] = {0};

    (void)state;
    board_end(&board, ENDING_STOP, share, 3);
    assert_int_equal(take_turns((const uint32_t[]){3, 105, 2}, 3, seconds), 110);
    assert_in_range(most(seconds), 11, 10 + 3 + 5 + 2);
    memset(&board, 0, sizeof(board));
    board_end(&board, ENDING_STOP, (const uint32_t[]){0}, 1);
    const struct turns turns = board_turns(&board, 0, 1, 1);
    assert_int_equal(turn_ms(&turns, 0, WINDOW_MS), 0);
}

static void without_a_master_workers_interleave(void **state)
{
    static const uint32_t cases[][3] = {{5, 5, 5}, {300, 300, 300}, {1000, 10, 500}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t seconds[WINDOW_S] = {0};
        const uint32_t sum = take_turns(cases[i], 3, seconds);
        assert_in_range(most(seconds), 1, (sum + WINDOW_S - 1) / WINDOW_S);
    }
}

static void only_the_first_end_counts(void **state)
{
    (void)state;
    board_end(&board, ENDING_RESTART, (const uint32_t[]){5, 5}, 2);
    board_end(&board, ENDING_STOP, (const uint32_t[]){1, 1}, 2);
    assert_int_equal(atomic_load(&board.ending), ENDING_RESTART);
    assert_int_equal(board_turns(&board, 1, 2, 5).total, 10);
    assert_int_equal(board_turns(&board, 1, 2, 5).first, 5);
}

static void no_window_is_no_delay(void **state)
{
    (void)state;
    board_end(&board, ENDING_STOP, (const uint32_t[]){9}, 1);
    const struct turns turns = board_turns(&board, 0, 1, 9);
    for (uint64_t rank = 0; rank < 9; rank++)
        assert_int_equal(turn_ms(&turns, rank, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test_setup(the_last_report_is_read_with_its_number, begin),
        cmocka_unit_test_setup(a_change_goes_on_where_it_began_on_another_board, begin),
        cmocka_unit_test_setup(long_texts_are_cut_and_say_so, begin),
        cmocka_unit_test_setup(a_report_is_whole_however_fast_others_follow, begin),
        cmocka_unit_test_setup(each_part_of_a_board_is_checked, begin),
        cmocka_unit_test_setup(no_second_has_more_than_the_mean, begin),
        cmocka_unit_test_setup(a_successor_takes_the_turns_that_are_left, begin),
        cmocka_unit_test_setup(more_clients_than_the_share_have_turns_too, begin),
        cmocka_unit_test_setup(without_a_master_workers_interleave, begin),
        cmocka_unit_test_setup(only_the_first_end_counts, begin),
        cmocka_unit_test_setup(no_window_is_no_delay, begin),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
