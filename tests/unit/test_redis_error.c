/* Redis's errors by kind: their first word decides, as a whole. */
#include "proto/redis_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum redis_error kind(const char *text)
{
    return redis_error_kind(text, strlen(text));
}

static void errors_as_redis_7_words_them(void **state)
{
    static const struct {
        const char *text;
        enum redis_error kind;
    } cases[] = {
        {"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist "
         "to disk.",
         REDIS_ERROR_LATER},
        {"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
         REDIS_ERROR_LATER},
        {"LOADING Redis is loading the dataset in memory", REDIS_ERROR_LATER},
        {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
         REDIS_ERROR_LATER},
        {"ERR max number of clients reached", REDIS_ERROR_LATER},
        {"READONLY You can't write against a read only replica.", REDIS_ERROR_ELSEWHERE},
        {"MOVED 3999 127.0.0.1:6381", REDIS_ERROR_ELSEWHERE},
        {"NOAUTH Authentication required.", REDIS_ERROR_LOGIN},
        {"WRONGPASS invalid username-password pair or user is disabled.", REDIS_ERROR_LOGIN},
        {"ERR AUTH <password> called without any password configured for the default user. Are "
         "you sure your configuration is correct?",
         REDIS_ERROR_LOGIN},
        {"NOPERM User alice has no permissions to run the 'role' command", REDIS_ERROR_DENIED},
        {"ERR unknown command 'ROLE', with args beginning with: ", REDIS_ERROR_UNKNOWN},
        {"BUSYGROUP Consumer Group name already exists", REDIS_ERROR_OTHER},
        {"ERR syntax error", REDIS_ERROR_OTHER},
        {"", REDIS_ERROR_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(kind(cases[i].text), cases[i].kind);
}

static void the_length_bounds_what_is_read(void **state)
{
    (void)state;
    assert_int_equal(redis_error_kind("BUSYGROUP", 4), REDIS_ERROR_LATER);
    assert_int_equal(redis_error_kind("BUSY", 3), REDIS_ERROR_OTHER);
}

static void advice_is_given_where_there_is_some(void **state)
{
    (void)state;
    assert_non_null(strstr(redis_error_advice("WRONGPASS x", 11), "push.conf"));
    assert_null(redis_error_advice("LOADING x", 9));
    assert_null(redis_error_advice("ERR x", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_as_redis_7_words_them),
        cmocka_unit_test(the_length_bounds_what_is_read),
        cmocka_unit_test(advice_is_given_where_there_is_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
