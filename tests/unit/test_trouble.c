/* A text that others read while it is written. */
#include "shm/trouble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void what_is_written_is_read(void **state)
{
    struct trouble trouble = {0};
    char text[TROUBLE_TEXT_MAX];
    (void)state;
    assert_false(trouble_get(&trouble, text));
    assert_string_equal(text, "");
    trouble_set(&trouble, "127.0.0.1:6379: Connection refused");
    assert_true(trouble_get(&trouble, text));
    assert_string_equal(text, "127.0.0.1:6379: Connection refused");
    trouble_set(&trouble, "shorter");
    assert_true(trouble_get(&trouble, text));
    assert_string_equal(text, "shorter");
    trouble_set(&trouble, "");
    assert_false(trouble_get(&trouble, text));
}

static void a_long_text_is_cut(void **state)
{
    struct trouble trouble = {0};
    char text[TROUBLE_TEXT_MAX], much[2 * TROUBLE_TEXT_MAX];
    (void)state;
    memset(much, 'x', sizeof(much) - 1);
    much[sizeof(much) - 1] = '\0';
    trouble_set(&trouble, much);
    assert_true(trouble_get(&trouble, text));
    assert_int_equal(strlen(text), TROUBLE_TEXT_MAX - 1);
}

static void a_text_whose_writer_died_is_none(void **state)
{
    struct trouble trouble = {0};
    char text[TROUBLE_TEXT_MAX];
    (void)state;
    trouble_set(&trouble, "old");
    trouble.version++;
    assert_false(trouble_get(&trouble, text));
    trouble_set(&trouble, "new");
    assert_true(trouble_get(&trouble, text));
    assert_string_equal(text, "new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(a_text_whose_writer_died_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
