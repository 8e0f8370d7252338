/*
 * Compares the scanner with jansson on thousands of random and damaged texts: both must accept and
 * refuse the same, and find the same members with the same values.
 *
 * The only permitted differences: jansson refuses \u0000 in names and numbers that do not fit into
 * a double or a 64-bit integer, accepts a NUL byte after a number, and nests up to 2,048 deep.
 */
#include "proto/json.h"

#include <stdio.h>

#include <jansson.h>

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

struct writer {
    uint64_t random;
    size_t len;
    char text[TEXT_MAX];
};

static size_t pick(struct writer *writer, size_t bound)
{
    return guard_random_below(&writer->random, bound);
}

static void write_text(struct writer *writer, const char *text)
{
    const size_t len = strlen(text);
    if (writer->len + len > TEXT_MAX)
        return;
    memcpy(writer->text + writer->len, text, len);
    writer->len += len;
}

static void write_space(struct writer *writer)
{
    static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t", "\r\n", "  "};
    write_text(writer, spaces[pick(writer, sizeof spaces / sizeof spaces[0])]);
}

static void write_string(struct writer *writer)
{
    static const char *const parts[] = {
        "a",
        "plain text of some length",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u0041",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\xc3\xa9",
        "\xe6\x88\x91",
        "\xe6\x88\x91\xe4\xbb\xac\xe9\x83\xbd",
        "\xf0\x9f\x98\x80",
        "\x7f",
        " ",
        "{",
        "]",
        ",",
        "\\u0000",
        "\\uffff",
        "12345678",
        "op",
    };
    write_text(writer, "\"");
    for (size_t n = pick(writer, 5); n > 0; n--)
        write_text(writer, parts[pick(writer, sizeof parts / sizeof parts[0])]);
    write_text(writer, "\"");
}

static void write_scalar(struct writer *writer)
{
    static const char *const scalars[] = {
        "0",
        "-0",
        "1",
        "42",
        "-17",
        "1.5",
        "-0.25",
        "1e5",
        "1E-7",
        "2.5e+10",
        "true",
        "false",
        "null",
        "9223372036854775807",
        "9223372036854775808",
        "1e999",
        "123456789",
    };
    if (pick(writer, 2) == 0)
        write_string(writer);
    else
        write_text(writer, scalars[pick(writer, sizeof scalars / sizeof scalars[0])]);
}

static void write_value(struct writer *writer, unsigned depth)
{
    write_space(writer);
    const size_t kind = depth == 0 ? 0 : pick(writer, 4);
    if (kind <= 1) {
        write_scalar(writer);
    } else {
        const bool object = kind == 2;
        write_text(writer, object ? "{" : "[");
        for (size_t n = pick(writer, 4), i = 0; i < n; i++) {
            write_text(writer, i > 0 ? "," : "");
            write_space(writer);
            if (object) {
                write_string(writer);
                write_space(writer);
                write_text(writer, ":");
            }
            write_value(writer, depth - 1);
        }
        write_space(writer);
        write_text(writer, object ? "}" : "]");
    }
    write_space(writer);
}

/* One small damage: a byte changed, taken out, put in or doubled, or the end cut off. */
static void damage(struct writer *writer)
{
    static const char bytes[] =
        "{}[]\",:\\/u0123456789abcdefEn-+. \n\t\x00\x1f\x7f\x80\xbf\xc0\xe6\xed\xf4\xff";
    const size_t at = pick(writer, writer->len);
    const char byte = bytes[pick(writer, sizeof bytes - 1)];
    char *const place = writer->text + at;
    const size_t after = writer->len - at;
    switch (pick(writer, 4)) {
    case 0:
        *place = byte;
        break;
    case 1:
        memmove(place, place + 1, after - 1);
        writer->len--;
        break;
    case 2:
        if (writer->len < TEXT_MAX) {
            memmove(place + 1, place, after);
            *place = byte;
            writer->len++;
        }
        break;
    default:
        writer->len = at;
    }
}

/* True if jansson's refusal is one of the differences in the head of this file. */
static bool known_difference(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_null_byte_in_key:
    case json_error_null_character:
    case json_error_numeric_overflow:
        return true;
    default:
        return false;
    }
}

static void compare_members(const char *text, size_t len, json_t *tree)
{
    struct json_value name, value;
    struct json_walk walk = json_walk_object(text, len);
    json_t *rebuilt = json_object();
    static char decoded[TEXT_MAX];
    while (json_next(&walk, &name, &value)) {
        const size_t name_len = json_unescape(decoded, &name);
        json_t *member = json_loadb(value.at, value.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(member);
        if (json_is_string(member)) {
            static char string[TEXT_MAX];
            assert_int_equal(json_unescape(string, &value), json_string_length(member));
            assert_memory_equal(string, json_string_value(member), json_string_length(member));
        }
        assert_int_equal(json_object_setn_new(rebuilt, decoded, name_len, member), 0);
    }
    assert_false(walk.failed);
    assert_true(json_equal(rebuilt, tree));
    json_decref(rebuilt);
}

/* Compares both on one text; counts the valid ones. */
static size_t compare(const char *text, size_t len)
{
    const char *at = (const char *)guard_put(&page, text, len);
    if (memchr(text, '\0', len) != NULL) {
        assert_false(json_valid(at, len));
        return 0;
    }
    json_error_t error = {0};
    json_t *tree = json_loadb(at, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    const bool good = json_valid(at, len);
    if (good != (tree != NULL) && !(tree == NULL && known_difference(&error)))
        fail_msg("we say %d, jansson says %s: %.*s", good, tree != NULL ? "good" : error.text,
                 (int)len, text);
    if (json_is_object(tree))
        compare_members(at, len, tree);
    json_decref(tree);
    return good;
}

static void agrees_with_jansson(void **state)
{
    (void)state;
    enum { ROUNDS = 4000, DAMAGES = 8 };
    static struct writer writer = {.random = 20260101};
    size_t good = 0, bad = 0;
    for (int round = 0; round < ROUNDS; round++) {
        writer.len = 0;
        write_value(&writer, 5);
        assert_true(json_valid(writer.text, writer.len));
        good += compare(writer.text, writer.len);
        for (int i = 0; i < DAMAGES && writer.len > 0; i++) {
            damage(&writer);
            bad += !compare(writer.text, writer.len);
        }
    }
    for (size_t i = 0; i < COUNT_OF(accepted); i++)
        good += compare(accepted[i].at, accepted[i].len);
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        bad += !compare(refused[i].at, refused[i].len);
    /* The damage makes some texts invalid, but not all. */
    assert_true(good > ROUNDS);
    assert_true(bad > ROUNDS && bad < ROUNDS * DAMAGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_jansson),
    };
    return cmocka_run_group_tests(tests, open_page, close_page);
}
