/* Names made of hexadecimal numbers: only printf's own form is valid. */
#include "tests/unit/guard.h"

#include <stdio.h>

#include "common/hexid.h"

static bool parse(const char *text, uint32_t *numbers, size_t count)
{
    struct guard in = guard_open(strlen(text));
    const char *const bytes = (char *)guard_put(&in, text, strlen(text));
    const bool valid = hexid_parse(bytes, strlen(text), numbers, count);
    guard_close(&in);
    return valid;
}

static void what_is_written_is_read(void **state)
{
    static const uint32_t samples[] = {0, 1, 9, 10, 15, 16, 0xabcdef, 0x7fffffff, UINT32_MAX};
    enum { COUNT = sizeof(samples) / sizeof(samples[0]) };
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const uint32_t other = samples[(i + 3) % COUNT];
        char text[32];
        uint32_t numbers[3];
        snprintf(text, sizeof(text), "%x", samples[i]);
        assert_true(parse(text, numbers, 1));
        assert_true(numbers[0] == samples[i]);
        snprintf(text, sizeof(text), "%x-%x-%x", samples[i], other, i > 0 ? samples[i - 1] : 0);
        assert_true(parse(text, numbers, 3));
        assert_true(numbers[0] == samples[i] && numbers[1] == other);
        assert_false(parse(text, numbers, 2));
    }
}

static void everything_else_is_none(void **state)
{
    static const char *const texts[] = {"",     "-",    "1",     "1-",          "-1",   "1--2",
                                        "1-2-", "1-2 ", " 1-2",  "1-02",        "00-2", "A-2",
                                        "1-g",  "1_2",  "1-2-3", "123456789-1", "+1-2", "0x1-2"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint32_t numbers[2];
        if (parse(texts[i], numbers, 2))
            fail_msg("\"%s\" was taken for two numbers", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(everything_else_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
