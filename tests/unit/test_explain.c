/*
 * The explanations of malformed pushes and messages.
 */
#include "proto/explain.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/guard.h"

enum { ROOM = 16384 };

static struct guard input, scratch;

static int open_pages(void **state)
{
    (void)state;
    input = guard_open(ROOM);
    scratch = guard_open(ROOM);
    return 0;
}

static int close_pages(void **state)
{
    (void)state;
    guard_close(&input);
    guard_close(&scratch);
    return 0;
}

static const char *push_text(const char *bytes, size_t len)
{
    static char out[EXPLAIN_MAX];
    struct push push;
    const uint8_t *at = guard_put(&input, bytes, len);
    const enum push_error error = push_decode(&push, at, len, guard_room(&scratch, len));
    explain_push(out, error ? error : PUSH_BAD_OPTION, at, len);
    return out;
}

static void explains_pushes(void **state)
{
    (void)state;
    static const struct {
        const char *push, *text;
    } cases[] = {
        {"{\"op\":110,\"data\":{\"a\":1} \"x\":2}", "expected ',' or '}' at byte 25"},
        {"{\"op\":110}]", "expected the end of the text at byte 10"},
        {"{\"data\":1}", "op is missing"},
        {"{\"opcode\":1}", "op is missing; unknown member \"opcode\": did you mean \"op\""},
        {"{\"OP\":1}", "op is missing; unknown member \"OP\": did you mean \"op\""},
        {"{\"zzzzz\":1}", "op is missing; unknown member \"zzzzz\""},
        {"{\"op\":\"110\"}", "op must be an integer from 0 to 16777215, not \"110\""},
        {"{\"op\":1.5}", "op must be an integer from 0 to 16777215, not 1.5"},
        {"{\"op\":-1}", "op must be an integer from 0 to 16777215, not -1"},
        {"{\"op\":16777216}", "op must be an integer from 0 to 16777215, not 16777216"},
        {"{\"op\":{}}", "op must be an integer from 0 to 16777215, not an object"},
        {"{\"op\":1,\"data\":1,\"text\":\"\"}",
         "data and text: only one of data, text and b64 is allowed"},
        {"{\"op\":1,\"data\":1,\"text\":\"\",\"b64\":\"\"}",
         "data, text and b64: only one of data, text and b64 is allowed"},
        {"{\"op\":1,\"text\":7}", "text must be a string, not 7"},
        {"{\"op\":1,\"b64\":[]}", "b64 must be a string, not an array"},
        {"{\"op\":1,\"b64\":\"AA*=\"}", "b64 is not base64: invalid character at byte 2"},
        {"{\"op\":1,\"b64\":\"AAA\"}",
         "b64 is not base64: expected a multiple of 4 characters, padded with =, found 3"},
        {"{\"op\":1,\"ttl\":\"5\"}", "ttl must be an integer from 0 to 4294967295, not \"5\""},
        {"{\"op\":1,\"ttl\":-5}", "ttl must be an integer from 0 to 4294967295, not -5"},
        {"{\"op\":1,\"key\":\"\"}", "key must be a string of 1 to 128 bytes, not \"\""},
        {"{\"op\":1,\"id\":null}", "id must be a string, not null"},
        {"{\"op\":1,\"conn\":true}", "conn must be a string, not true"},
        {"{\"op\":1,\"except\":[\"a\"]}", "except must be a string, not an array"},
        {"{\"op\":1,\"users\":\"42\"}", "users must be an array of strings, not \"42\""},
        {"{\"op\":1,\"users\":[\"1\",42]}", "users[1] must be a string of 1 to 63 bytes, not 42"},
        {"{\"op\":1,\"report\":\"x\"}", "report must be a ticket from POST /api/push, not \"x\""},
        {"{\"op\":1}", "users is missing: expected an array of user names"},
        {"abc", "a raw frame must start with a 4-byte opcode; its length in bytes is 3"},
        {"", "a raw frame must start with a 4-byte opcode; its length in bytes is 0"},
        {"hello", "a raw frame's opcode must be at most 16777215, not 1751477356; an envelope "
                  "begins with '{'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(push_text(cases[i].push, strlen(cases[i].push)), cases[i].text);
}

static void explains_messages(void **state)
{
    (void)state;
    static const struct {
        const char *message, *text;
    } cases[] = {
        {"nonsense", "expected a value at byte 0"},
        {"[]", "not a JSON object"},
        {"{\"op\":1", "expected ',' or '}' at byte 7, the end of the text"},
        {"{\"ttl\":1}", "op is missing; unknown member \"ttl\""},
        {"{\"op\":true}", "op must be an integer from 0 to 16777215, not true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[EXPLAIN_MAX];
        const size_t len = strlen(cases[i].message);
        explain_message(out, (const char *)guard_put(&input, cases[i].message, len), len,
                        guard_room(&scratch, len));
        assert_string_equal(out, cases[i].text);
    }
}

static const char *unknown(const char *text)
{
    static char out[EXPLAIN_MAX];
    const size_t len = strlen(text);
    const char *at = (const char *)guard_put(&input, text, len);
    return explain_unknown(out, at, len, &envelope_names) ? out : NULL;
}

static void names_unknown_members(void **state)
{
    (void)state;
    assert_null(unknown("{\"op\":1,\"data\":{\"paylod\":1},\"\\u0074tl\":1}"));
    assert_null(unknown("[]"));
    assert_string_equal(unknown("{\"op\":1,\"paylod\":1}"),
                        "unknown member \"paylod\": did you mean \"data\"");
    assert_string_equal(unknown("{\"op\":1,\"dta\":1}"),
                        "unknown member \"dta\": did you mean \"data\"");
    assert_string_equal(unknown("{\"op\":1,\"usres\":1}"),
                        "unknown member \"usres\": did you mean \"users\"");
    assert_string_equal(unknown("{\"op\":1,\"Text\":1}"),
                        "unknown member \"Text\": did you mean \"text\"");
    assert_string_equal(unknown("{\"op\":1,\"trace_id\":1}"), "unknown member \"trace_id\"");
    assert_string_equal(unknown("{\"\":1}"), "unknown member \"\"");
}

static void long_names_are_cut_between_characters(void **state)
{
    (void)state;
    char text[512] = "{\"x";
    for (int i = 0; i < 40; i++)
        strcat(text, "\xc3\xa9");
    strcat(text, "\":1}");
    const char *out = unknown(text);
    assert_int_equal(strlen(out), strlen("unknown member \"\"") + 39);
}

/* Explains every report of decode, for any text: the result is terminated, and no byte behind the
 * text is read.
 */
static void explains_every_prefix(void **state)
{
    (void)state;
    static const char text[] = "{\"op\":1,\"data\":{\"a\":[1,true]},\"users\":[\"1\",2],\"ttl\":-1,"
                               "\"k\\u0065y\":\"\",\"x\":1}";
    for (size_t len = 0; len < sizeof text; len++) {
        const char *out = push_text(text, len);
        assert_true(strlen(out) > 0 && strlen(out) < EXPLAIN_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explains_pushes),
        cmocka_unit_test(explains_messages),
        cmocka_unit_test(names_unknown_members),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(explains_every_prefix),
    };
    return cmocka_run_group_tests(tests, open_pages, close_pages);
}
