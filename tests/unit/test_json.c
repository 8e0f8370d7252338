/*
 * The JSON scanner: texts that it must accept and refuse, each ending at an unreadable page, and
 * the walks through objects and arrays.
 */
#include "proto/json.h"

#include <stdio.h>
#include <stdlib.h>

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

static bool valid(const void *text, size_t len)
{
    return json_valid((const char *)guard_put(&page, text, len), len);
}

static void takes_what_is_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(accepted); i++)
        if (!valid(accepted[i].at, accepted[i].len))
            fail_msg("refused: %s", accepted[i].at);
}

static void refuses_what_is_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (valid(refused[i].at, refused[i].len))
            fail_msg("taken: %s", refused[i].at);
}

/* An object or array is whole only with its last byte. */
static void check_prefix(void *context, uint8_t *prefix, size_t len)
{
    const size_t whole = *(const size_t *)context;
    if (json_valid((const char *)prefix, len) != (len == whole))
        fail_msg("%zu of %zu bytes", len, whole);
}

static void needs_every_byte(void **state)
{
    (void)state;
    static const char text[] =
        "{\"op\":110,\"data\":{\"a\":[1,-2.5e+3,true,false,null,\"\\u00e9\\ud83d\\ude00\\n\"],"
        "\"\xe6\x88\x91\xe4\xbb\xac\":\"\xf0\x9f\x98\x80 and plain text\"}}";
    size_t len = sizeof text - 1;
    guard_prefixes(check_prefix, &len, text, len);
}

/* Each byte at each place of strings of each length about the width of a word. */
static void checks_every_byte_of_a_string(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 20; len++)
        for (size_t at = 0; at < len; at++)
            for (int byte = 0; byte < 256; byte++) {
                char text[32];
                memset(text, 'x', sizeof text);
                text[0] = text[len + 1] = '"';
                text[1 + at] = (char)byte;
                bool good = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
                /* "\x" is not an escape, and the last backslash would escape the quote. */
                if (valid(text, len + 2) != good)
                    fail_msg("byte 0x%02x at %zu of %zu", (unsigned)byte, at, len);
            }
}

static size_t nest(char *out, size_t depth, const char *open, const char *inner, const char *shut)
{
    char *at = out;
    for (size_t i = 0; i < depth; i++)
        at = stpcpy(at, open);
    at = stpcpy(at, inner);
    for (size_t i = 0; i < depth; i++)
        at = stpcpy(at, shut);
    return (size_t)(at - out);
}

static void nests_to_the_limit_and_no_deeper(void **state)
{
    (void)state;
    static char text[TEXT_MAX];
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 2; depth++) {
        bool good = depth <= JSON_DEPTH_MAX;
        assert_int_equal(valid(text, nest(text, depth, "[", "", "]")), good);
        assert_int_equal(valid(text, nest(text, depth - 1, "{\"a\":", "{}", "}")), good);
        assert_int_equal(valid(text, nest(text, depth, "[0,", "1", ",2]")), good);
    }
    /* Siblings do not add up, and the kind of every level is remembered. */
    assert_true(valid(text, nest(text, JSON_DEPTH_MAX / 2, "[{},[],{\"a\":", "1", "}]")));
    size_t len = nest(text, JSON_DEPTH_MAX / 2, "[{\"a\":", "1", "}]");
    for (size_t i = len - JSON_DEPTH_MAX; i < len; i++) {
        assert_true(valid(text, len));
        char right = text[i];
        text[i] = right == ']' ? '}' : ']';
        assert_false(valid(text, len));
        text[i] = right;
    }
}

static void refuses_a_tower_of_brackets(void **state)
{
    (void)state;
    enum { TOWER = 100000 };
    char *tower = malloc(TOWER);
    assert_non_null(tower);
    memset(tower, '[', TOWER);
    assert_false(json_valid(tower, TOWER));
    struct json_value value;
    struct json_walk walk = json_walk_array(tower, TOWER);
    assert_false(json_next(&walk, NULL, &value));
    assert_true(walk.failed);
    free(tower);
}

/* --- walking --- */

static void assert_slice(const struct json_value *value, enum json_type type, const char *text)
{
    assert_int_equal(value->type, type);
    assert_int_equal(value->len, strlen(text));
    assert_memory_equal(value->at, text, value->len);
}

static void walks_an_object(void **state)
{
    (void)state;
    static const char text[] = " { \"a\" : 1 ,\"b\":[ 1, {} ],\"\":\"x\\\"y\", \"c\":{\"d\":null} ,"
                               "\"e\":true,\"f\":false,\"g\":null,\"h\":-1.5e3\n} ";
    static const struct {
        const char *name;
        enum json_type type;
        const char *value;
    } members[] = {
        {"\"a\"", JSON_TYPE_NUMBER, "1"},         {"\"b\"", JSON_TYPE_ARRAY, "[ 1, {} ]"},
        {"\"\"", JSON_TYPE_STRING, "\"x\\\"y\""}, {"\"c\"", JSON_TYPE_OBJECT, "{\"d\":null}"},
        {"\"e\"", JSON_TYPE_TRUE, "true"},        {"\"f\"", JSON_TYPE_FALSE, "false"},
        {"\"g\"", JSON_TYPE_NULL, "null"},        {"\"h\"", JSON_TYPE_NUMBER, "-1.5e3"},
    };
    const size_t len = sizeof text - 1;
    struct json_value name, value;
    struct json_walk walk = json_walk_object((const char *)guard_put(&page, text, len), len);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        assert_true(json_next(&walk, &name, &value));
        assert_slice(&name, JSON_TYPE_STRING, members[i].name);
        assert_slice(&value, members[i].type, members[i].value);
    }
    for (int again = 0; again < 2; again++) {
        assert_false(json_next(&walk, &name, &value));
        assert_false(walk.failed);
    }
}

static void walks_an_array(void **state)
{
    (void)state;
    static const char text[] = "[ 1,\"a\" , [2,3],{}]\r\n";
    const size_t len = sizeof text - 1;
    struct json_value value;
    struct json_walk walk = json_walk_array((const char *)guard_put(&page, text, len), len);
    assert_true(json_next(&walk, NULL, &value));
    assert_slice(&value, JSON_TYPE_NUMBER, "1");
    assert_true(json_next(&walk, NULL, &value));
    assert_slice(&value, JSON_TYPE_STRING, "\"a\"");
    assert_true(json_next(&walk, NULL, &value));
    assert_slice(&value, JSON_TYPE_ARRAY, "[2,3]");
    assert_true(json_next(&walk, NULL, &value));
    assert_slice(&value, JSON_TYPE_OBJECT, "{}");
    assert_false(json_next(&walk, NULL, &value));
    assert_false(walk.failed);
}

/* The number of members that a walk finds; *failed is true if it ended with an error. */
static size_t walk_all(struct json_walk walk, bool *failed)
{
    struct json_value name, value;
    size_t count = 0;
    while (json_next(&walk, &name, &value))
        count++;
    *failed = walk.failed;
    assert_false(json_next(&walk, &name, &value));
    assert_int_equal(walk.failed, *failed);
    return count;
}

/* A walk to the end agrees with json_valid, for the right kind of text. */
static void check_walk(const char *text, size_t len)
{
    const char *at = (const char *)guard_put(&page, text, len);
    const size_t space = strspn(text, " \t\r\n");
    const char first = space < len ? text[space] : '\0';
    bool failed;
    walk_all(json_walk_object(at, len), &failed);
    assert_int_equal(!failed, first == '{' && json_valid(at, len));
    walk_all(json_walk_array(at, len), &failed);
    assert_int_equal(!failed, first == '[' && json_valid(at, len));
}

static void walks_fail_where_the_text_is_not_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(accepted); i++)
        check_walk(accepted[i].at, accepted[i].len);
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        check_walk(refused[i].at, refused[i].len);

    bool failed;
    assert_int_equal(walk_all(json_walk_object("{}", 2), &failed), 0);
    assert_false(failed);
    assert_int_equal(walk_all(json_walk_object("{\"a\":1,\"b\":2,}", 15), &failed), 2);
    assert_true(failed);
    assert_int_equal(walk_all(json_walk_object("{\"a\":1}}", 8), &failed), 1);
    assert_true(failed);
}

/* A valid text is also valid as a member: a payload at the limit can be wrapped. */
static void members_may_be_as_deep_as_values(void **state)
{
    (void)state;
    static char text[TEXT_MAX], inner[TEXT_MAX];
    struct json_value name, value;
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        inner[nest(inner, depth, "[", "", "]")] = '\0';
        const size_t len = nest(text, 1, "{\"a\":", inner, "}");
        struct json_walk walk = json_walk_object(text, len);
        assert_int_equal(json_next(&walk, &name, &value), depth == JSON_DEPTH_MAX);
        assert_int_equal(walk.failed, depth > JSON_DEPTH_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_json),
        cmocka_unit_test(refuses_what_is_not),
        cmocka_unit_test(needs_every_byte),
        cmocka_unit_test(checks_every_byte_of_a_string),
        cmocka_unit_test(nests_to_the_limit_and_no_deeper),
        cmocka_unit_test(refuses_a_tower_of_brackets),
        cmocka_unit_test(walks_an_object),
        cmocka_unit_test(walks_an_array),
        cmocka_unit_test(walks_fail_where_the_text_is_not_valid),
        cmocka_unit_test(members_may_be_as_deep_as_values),
    };
    return cmocka_run_group_tests(tests, open_page, close_page);
}
