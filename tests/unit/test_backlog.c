/*
 * The backlog as others see it: the bytes of the descriptor's current connection, and never those
 * of an earlier one.
 */
#include "shm/backlog.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FD = 7 };
static const struct conn_ref ref = {.fd = FD, .generation = 3};

static uint64_t word(uint32_t generation, uint32_t flags)
{
    return word_make(generation, 1, CONN_OPEN, flags);
}

static void what_was_noted_is_seen(void **state)
{
    (void)state;
    _Atomic uint64_t backlogs[FD + 1] = {0};

    backlog_note(backlogs, ref, UINT32_MAX);
    assert_int_equal(backlog_of(backlogs, FD, word(3, CONN_DIRTY | CONN_WRITING)), UINT32_MAX);
    backlog_note(backlogs, ref, 0);
    assert_int_equal(backlog_of(backlogs, FD, word(3, CONN_DIRTY)), 0);
}

static void it_is_gone_with_its_connection(void **state)
{
    (void)state;
    _Atomic uint64_t backlogs[FD + 1] = {0};

    backlog_note(backlogs, ref, 1000);
    assert_int_equal(backlog_of(backlogs, FD, word(4, CONN_DIRTY)), 0);
    backlog_note(backlogs, (struct conn_ref){.fd = FD, .generation = 4}, 5);
    assert_int_equal(backlog_of(backlogs, FD, word(4, CONN_DIRTY)), 5);
}

/* Reading must not allocate a page that holds only idle connections. */
static void of_a_clean_connection_nothing_is_read(void **state)
{
    (void)state;
    assert_int_equal(backlog_of(NULL, FD, word(3, CONN_WRITING)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_noted_is_seen),
        cmocka_unit_test(it_is_gone_with_its_connection),
        cmocka_unit_test(of_a_clean_connection_nothing_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
