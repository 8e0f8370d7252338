/*
 * JSON's strings and numbers: compared, decoded, written, and read as unsigned integers.
 */
#include "proto/json.h"

#include <stdio.h>

#include <jansson.h>

#include "tests/unit/guard.h"

/* A string literal with its length, since some hold NUL bytes. */
struct text {
    const char *at;
    size_t len;
};
#define TEXT(literal)                  \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

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

static bool valid(const void *text, size_t len)
{
    return json_valid((const char *)guard_put(&page, text, len), len);
}

static struct json_value as_value(enum json_type type, const char *text, size_t len)
{
    return (struct json_value){type, (const char *)guard_put(&page, text, len), len};
}

static void compares_strings(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
        bool same;
    } cases[] = {
        {"\"\"", "", true},
        {"\"op\"", "op", true},
        {"\"op\"", "o", false},
        {"\"op\"", "opt", false},
        {"\"op\"", "", false},
        {"\"\"", "op", false},
        {"\"op\"", "oP", false},
        {"\"\\u006fp\"", "op", true},
        {"\"o\\u0070\"", "op", true},
        {"\"\\u006fp\"", "oq", false},
        {"\"o\\u0070\"", "o", false},
        {"\"a\\nb\"", "a\nb", true},
        {"\"a\\nb\"", "a\\nb", false},
        {"\"a\\\\nb\"", "a\\nb", true},
        {"\"\\u00e9\"", "\xc3\xa9", true},
        {"\"\\u20ac\"", "\xe2\x82\xac", true},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", true},
        {"\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80", true},
        {"\"\\u00e9\"", "\xc3", false},
        {"\"\\u00e9\"", "\xc3\xa8", false},
        {"\"\\u0000\"", "", false},
        {"\"op\\u0000\"", "op\0", false},
        {"\"op\\u0000x\"", "op", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_value string = as_value(JSON_TYPE_STRING, cases[i].json, strlen(cases[i].json));
        if (json_string_is(&string, cases[i].text) != cases[i].same)
            fail_msg("%s and %s", cases[i].json, cases[i].text);
    }
    struct json_value number = as_value(JSON_TYPE_NUMBER, "\"op\"", 4);
    assert_false(json_string_is(&number, "op"));
}

static void decodes_strings(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        struct text text;
    } cases[] = {
        {"\"\"", TEXT("")},
        {"\"abc\"", TEXT("abc")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", TEXT("\"\\/\b\f\n\r\t")},
        {"\"\\u0000\\u0001\\u007f\"", TEXT("\0\x01\x7f")},
        {"\"\\u0080\\u07ff\"", TEXT("\xc2\x80\xdf\xbf")},
        {"\"\\u0800\\ud7ff\\ue000\\uffff\"",
         TEXT("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf")},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", TEXT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
        {"\"a\\nb\xc3\xa9\\u00e9 c\"", TEXT("a\nb\xc3\xa9\xc3\xa9 c")},
    };
    struct guard room = guard_open(64);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t len = strlen(cases[i].json);
        assert_true(valid(cases[i].json, len));
        struct json_value string = as_value(JSON_TYPE_STRING, cases[i].json, len);
        char *out = (char *)guard_room(&room, len);
        assert_int_equal(json_unescape(out, &string), cases[i].text.len);
        assert_memory_equal(out, cases[i].text.at, cases[i].text.len);
    }
    guard_close(&room);
}

static void reads_unsigned_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
        uint64_t value;
    } cases[] = {
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"110", 16777215, true, 110},
        {"16777215", 16777215, true, 16777215},
        {"16777216", 16777215, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"36893488147419103232", UINT64_MAX, false, 0},
        {"100000000000000000000000", UINT64_MAX, false, 0},
        {"-1", UINT64_MAX, false, 0},
        {"-0", UINT64_MAX, false, 0},
        {"1.0", UINT64_MAX, false, 0},
        {"1e2", UINT64_MAX, false, 0},
        {"1E2", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_value number = as_value(JSON_TYPE_NUMBER, cases[i].text, strlen(cases[i].text));
        uint64_t value = 0;
        if (json_uint(&number, cases[i].max, &value) != cases[i].good || value != cases[i].value)
            fail_msg("%s gave %llu", cases[i].text, (unsigned long long)value);
    }
    struct json_value string = as_value(JSON_TYPE_STRING, "\"1\"", 3);
    uint64_t value;
    assert_false(json_uint(&string, 10, &value));
}

static void quotes_what_must_be_quoted(void **state)
{
    (void)state;
    static const struct {
        struct text text;
        const char *json;
    } cases[] = {
        {TEXT(""), "\"\""},
        {TEXT("abc"), "\"abc\""},
        {TEXT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\""},
        {TEXT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
        {TEXT("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\""},
        {TEXT("\xe6\x88\x91 12345678\n\xf0\x9f\x98\x80"),
         "\"\xe6\x88\x91 12345678\\n\xf0\x9f\x98\x80\""},
    };
    struct guard room = guard_open(256);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = (const char *)guard_put(&page, cases[i].text.at, cases[i].text.len);
        const size_t len = strlen(cases[i].json);
        assert_int_equal(json_quote(NULL, text, cases[i].text.len), len);
        char *out = (char *)guard_room(&room, len);
        assert_int_equal(json_quote(out, text, cases[i].text.len), len);
        assert_memory_equal(out, cases[i].json, len);
    }
    guard_close(&room);
}

/* json_valid accepts the output of json_quote, and json_unescape and jansson decode it alike. */
static void quoting_goes_there_and_back(void **state)
{
    (void)state;
    static const char *const parts[] = {"a",
                                        "\"",
                                        "\\",
                                        "/",
                                        "\n",
                                        "\x01",
                                        "\x1f",
                                        "\x7f",
                                        "\xc3\xa9",
                                        "\xe6\x88\x91",
                                        "\xf0\x9f\x98\x80",
                                        "12345678"};
    uint64_t random = 4711;
    for (int round = 0; round < 2000; round++) {
        char text[128], quoted[2 + 6 * sizeof text], back[sizeof quoted];
        size_t len = 0;
        for (size_t n = guard_random_below(&random, 12); n > 0; n--) {
            const char *part = parts[guard_random_below(&random, sizeof parts / sizeof parts[0])];
            len = (size_t)(stpcpy(text + len, part) - text);
            if (guard_random_below(&random, 8) == 0)
                text[len++] = '\0';
        }
        const size_t size = json_quote(quoted, (char *)guard_put(&page, text, len), len);
        assert_true(valid(quoted, size));
        const struct json_value string = as_value(JSON_TYPE_STRING, quoted, size);
        assert_int_equal(json_unescape(back, &string), len);
        assert_memory_equal(back, text, len);
        json_t *tree = json_loadb(quoted, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_int_equal(json_string_length(tree), len);
        assert_memory_equal(json_string_value(tree), text, len);
        json_decref(tree);
    }
}

/* Only half surrogates change, wherever the text ends; invalid escapes are left for the scanner. */
static void half_pairs_are_masked(void **state)
{
    static const struct {
        const char *text, *masked;
    } cases[] = {
        {"\"a\\ud83d\"", "\"a\\u0000\""},
        {"\"\\udc00\\ud83d\"", "\"\\u0000\\u0000\""},
        {"\"\\ud83d\\ud83d\\ude00\"", "\"\\u0000\\ud83d\\ude00\""},
        {"\"\\ud83d\\u0041\\n\"", "\"\\u0000\\u0041\\n\""},
        {"\"\\\\ud83d\"", "\"\\\\ud83d\""},
        {"\"\\x\\ud83d\"", "\"\\x\\ud83d\""},
        {"\"\\ud83", "\"\\ud83"},
        {"\\", "\\"},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t len = strlen(cases[i].text);
        struct guard guard = guard_open(len);
        char *const text = (char *)guard_put(&guard, cases[i].text, len);
        json_mask_surrogates(text, len);
        if (memcmp(text, cases[i].masked, len) != 0)
            fail_msg("%s: %.*s", cases[i].text, (int)len, text);
        guard_close(&guard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_strings),
        cmocka_unit_test(decodes_strings),
        cmocka_unit_test(reads_unsigned_integers),
        cmocka_unit_test(quotes_what_must_be_quoted),
        cmocka_unit_test(quoting_goes_there_and_back),
        cmocka_unit_test(half_pairs_are_masked),
    };
    return cmocka_run_group_tests(tests, open_page, close_page);
}
