/*
 * See json_error.h. The text is read a token at a time; what may come next is one of a few states,
 * and what is open around it a stack of bits, as in json.c:
 *
 *     '{'  NAME_OR_END ──name, ':'──▶ VALUE ──value──▶ AFTER ──','──▶ NAME ──name, ':'──▶ VALUE
 *     '['  VALUE_OR_END ──────────────value──────────▶ AFTER ──','──▶ VALUE
 *
 * Strings are checked by the scanner's own function; only in one that it refuses is the place
 * looked for, character by character.
 */
#include "proto/json_error.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proto/json.h"
#include "proto/json_string.h"
#include "proto/utf8.h"

enum state { VALUE, VALUE_OR_END, NAME, NAME_OR_END, AFTER };

struct reader {
    const char *begin, *at, *end;
    uint64_t objects; /* the open containers, the innermost lowest: 1 for an object */
    unsigned depth;
    enum state state;
    const char *what; /* the mistake at `at`, or NULL */
};

static bool fail(struct reader *reader, const char *at, const char *what)
{
    reader->at = at;
    reader->what = what;
    return false;
}

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && *reader->at && strchr(" \t\r\n", *reader->at))
        reader->at++;
}

/* ---- Strings ---- */

/* Returns the first byte that is not UTF-8, of a run of bytes above 0x7f; or the byte after it. */
static const char *utf8_end(const char *at, const char *end, bool *valid)
{
    uint32_t state = UTF8_ACCEPT;
    while (at < end && (state != UTF8_ACCEPT || (unsigned char)*at >= 0x80)) {
        const uint32_t next = utf8_feed(state, at, 1);
        if (next == UTF8_REJECT)
            break;
        state = next;
        at++;
    }
    *valid = state == UTF8_ACCEPT && (at == end || (unsigned char)*at < 0x80);
    return at;
}

/* The string at `at` is not valid: finds out where. */
static bool fail_string(struct reader *reader)
{
    const char *at = reader->at + 1, *next;
    bool valid = true;
    for (; at < reader->end && *at != '"'; at = next) {
        if ((unsigned char)*at < 0x20)
            return fail(reader, at, "a control character must be escaped");
        if (*at == '\\')
            next = json_escape_end(at, reader->end);
        else if ((unsigned char)*at < 0x80)
            next = at + 1;
        else
            next = utf8_end(at, reader->end, &valid);
        if (!next)
            return fail(reader, at, "invalid escape");
        if (!valid)
            return fail(reader, next, "invalid UTF-8");
    }
    return fail(reader, reader->end, "expected the string's closing quote");
}

static bool read_string(struct reader *reader)
{
    const char *string_end = json_string_end(reader->at, reader->end);
    if (!string_end)
        return fail_string(reader);
    reader->at = string_end;
    return true;
}

/* ---- Other values ---- */

static bool read_digits(struct reader *reader)
{
    const char *begin = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return reader->at > begin || fail(reader, reader->at, "expected a digit");
}

static bool next_is(struct reader *reader, const char *any)
{
    if (reader->at == reader->end || !*reader->at || !strchr(any, *reader->at))
        return false;
    reader->at++;
    return true;
}

static bool read_number(struct reader *reader)
{
    next_is(reader, "-");
    if (!next_is(reader, "0") && !read_digits(reader))
        return false;
    if (next_is(reader, ".") && !read_digits(reader))
        return false;
    if (!next_is(reader, "eE"))
        return true;
    next_is(reader, "+-");
    return read_digits(reader);
}

static bool read_word(struct reader *reader)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t len = strlen(words[i]);
        if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, words[i], len) != 0)
            continue;
        reader->at += len;
        return true;
    }
    return fail(reader, reader->at,
                reader->state == VALUE_OR_END ? "expected a value or ']'" : "expected a value");
}

static bool open_container(struct reader *reader, bool object)
{
    if (reader->depth == JSON_DEPTH_MAX)
        return fail(reader, reader->at, "expected no more than 64 levels");
    reader->depth++;
    reader->objects = reader->objects << 1 | object;
    reader->at++;
    reader->state = object ? NAME_OR_END : VALUE_OR_END;
    return true;
}

static bool close_container(struct reader *reader)
{
    reader->at++;
    reader->depth--;
    reader->objects >>= 1;
    reader->state = AFTER;
    return true;
}

/* ---- States ---- */

static bool read_value(struct reader *reader)
{
    const char first = reader->at < reader->end ? *reader->at : '\0';
    if (first == ']' && reader->state == VALUE_OR_END)
        return close_container(reader);
    if (first == '{' || first == '[')
        return open_container(reader, first == '{');
    if (first == '"'                                     ? !read_string(reader)
        : first == '-' || (first >= '0' && first <= '9') ? !read_number(reader)
                                                         : !read_word(reader))
        return false;
    reader->state = AFTER;
    return true;
}

static bool read_name(struct reader *reader)
{
    const bool may_end = reader->state == NAME_OR_END;
    if (may_end && reader->at < reader->end && *reader->at == '}')
        return close_container(reader);
    if (reader->at == reader->end || *reader->at != '"')
        return fail(reader, reader->at,
                    may_end ? "expected a name in quotes or '}'" : "expected a name in quotes");
    if (!read_string(reader))
        return false;
    skip_space(reader);
    if (!next_is(reader, ":"))
        return fail(reader, reader->at, "expected ':'");
    reader->state = VALUE;
    return true;
}

static bool read_after(struct reader *reader)
{
    const bool object = reader->objects & 1;
    if (reader->at < reader->end && *reader->at == (object ? '}' : ']'))
        return close_container(reader);
    if (!next_is(reader, ","))
        return fail(reader, reader->at, object ? "expected ',' or '}'" : "expected ',' or ']'");
    reader->state = object ? NAME : VALUE;
    return true;
}

/* Reads one token. Returns false at a mistake. */
static bool read_token(struct reader *reader)
{
    skip_space(reader);
    switch (reader->state) {
    case VALUE:
    case VALUE_OR_END:
        return read_value(reader);
    case NAME:
    case NAME_OR_END:
        return read_name(reader);
    case AFTER:
        break;
    }
    return read_after(reader);
}

bool json_error_find(struct json_error *error, const char *text, size_t len)
{
    struct reader reader = {.begin = text, .at = text, .end = text + len, .state = VALUE};
    bool valid = true;
    do
        valid = read_token(&reader);
    while (valid && reader.depth > 0);
    if (valid) {
        skip_space(&reader);
        if (reader.at < reader.end)
            reader.what = "expected the end";
    }
    *error = (struct json_error){reader.what, (size_t)(reader.at - text)};
    return reader.what != NULL;
}

const char *json_error_text(char *out, size_t size, const char *text, size_t len)
{
    struct json_error error;
    if (!json_error_find(&error, text, len))
        error = (struct json_error){"no mistake", len};
    snprintf(out, size, "%s at byte %zu%s", error.what, error.at,
             error.at == len ? ", where the text ends" : "");
    return out;
}
