/*
 * Mistakes in JSON: for chosen texts the place and the message, and for every text of the scanner's
 * tests, whole, cut and with one byte changed, that both agree on its validity.
 */
#include "proto/json_error.h"

#include <stdio.h>
#include <string.h>

#include "proto/json.h"
#include "tests/unit/guard.h"
#include "tests/unit/json_cases.h"

enum { TEXT_MAX = 16384 };

static struct guard page;

static int open_page(void **state)
{
    (void)state;
    page = guard_open(TEXT_MAX);
    return 0;
}

static int close_page(void **state)
{
    (void)state;
    guard_close(&page);
    return 0;
}

static const char *text_of(const char *text, size_t len)
{
    static char out[128];
    return json_error_text(out, sizeof out, (const char *)guard_put(&page, text, len), len);
}

static void names_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{\"op\":110,\"data\":{\"a\":1} \"x\":2}", "expected ',' or '}' at byte 25"},
        {"{\"op\":110,\"data\":{\"a\":1}", "expected ',' or '}' at byte 24, the end of the text"},
        {"{\"op\":110,}", "expected a name in quotes at byte 10"},
        {"{op:110}", "expected a name in quotes or '}' at byte 1"},
        {"{'op':110}", "expected a name in quotes or '}' at byte 1"},
        {"{\"op\" 110}", "expected ':' at byte 6"},
        {"{\"op\":}", "expected a value at byte 6"},
        {"{\"op\":110", "expected ',' or '}' at byte 9, the end of the text"},
        {"[1,2", "expected ',' or ']' at byte 4, the end of the text"},
        {"[", "expected a value or ']' at byte 1, the end of the text"},
        {"[1,]", "expected a value at byte 3"},
        {"", "expected a value at byte 0, the end of the text"},
        {"{} {}", "expected the end of the text at byte 3"},
        {"01", "expected the end of the text at byte 1"},
        {"1.", "expected a digit at byte 2, the end of the text"},
        {"-x", "expected a digit at byte 1"},
        {"nul", "expected a value at byte 0"},
        {"\"abc", "expected the string's closing quote at byte 4, the end of the text"},
        {"\"a\nb\"", "a control character must be escaped at byte 2"},
        {"\"a\\x\"", "invalid escape at byte 2"},
        {"\"\\ud800\"", "invalid escape at byte 1"},
        {"\"a\xff\"", "invalid UTF-8 at byte 2"},
        {"\"\xe6\x88\"", "invalid UTF-8 at byte 3"},
        {"\"\xe6\x88\x91\xc0\xaf\"", "invalid UTF-8 at byte 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(text_of(cases[i].text, strlen(cases[i].text)), cases[i].error);
}

static void levels_are_counted(void **state)
{
    (void)state;
    char deep[JSON_DEPTH_MAX + 1];
    memset(deep, '[', sizeof deep);
    assert_string_equal(text_of(deep, sizeof deep),
                        "expected at most 64 levels of nesting at byte 64");
}

/* The scanner and this agree. */
static void check(const char *text, size_t len)
{
    struct json_error error;
    const char *at = (const char *)guard_put(&page, text, len);
    const bool found = json_error_find(&error, at, len);
    if (found == json_valid(at, len))
        fail_msg("%.*s: %s", (int)len, text, found ? error.what : "no error");
    if (found)
        assert_true(error.at <= len && error.what != NULL);
}

static void check_variants(const struct text *text)
{
    static const char bytes[] = "\"\\{}[],:0-.eEtu\x01\x7f\x80\xc3\xed\xff \n";
    char changed[TEXT_MAX];
    for (size_t len = 0; len <= text->len; len++)
        check(text->at, len);
    if (text->len > 64)
        return;
    for (size_t i = 0; i < text->len; i++) {
        for (size_t k = 0; k < sizeof bytes; k++) {
            memcpy(changed, text->at, text->len);
            changed[i] = bytes[k];
            check(changed, text->len);
        }
    }
}

static void agrees_with_the_scanner(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(accepted); i++)
        check_variants(&accepted[i]);
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        check_variants(&refused[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_place),
        cmocka_unit_test(levels_are_counted),
        cmocka_unit_test(agrees_with_the_scanner),
    };
    return cmocka_run_group_tests(tests, open_page, close_page);
}
