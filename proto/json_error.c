/*
 * See json_error.h. The text is read one token at a time. The state says what may come next, and
 * the open containers are a stack of bits, as in json.c:
 *
 *     '{'  NAME_OR_END ──name, ':'──▶ VALUE ──value──▶ AFTER ──','──▶ NAME ──name, ':'──▶ VALUE
 *     '['  VALUE_OR_END ──────────────value──────────▶ AFTER ──','──▶ VALUE
 *
 * Strings are checked by the scanner's own function; only if that refuses one, the mistake is
 * searched for character by character.
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
    uint64_t objects; /* a bit for each open container, the innermost the lowest: 1 for an object */
    unsigned depth;
    enum state state;
    const char *what; /* the mistake at `at`, or NULL */
};

static bool note_mistake_at(struct reader *reader, const char *at, const char *what)
{
    reader->at = at;
    reader->what = what;
    return false;
}

static void skip_reader_space(struct reader *reader)
{
    while (reader->at < reader->end && *reader->at && strchr(" \t\r\n", *reader->at))
        reader->at++;
}

/* ---- Strings ---- */

/* Returns the first byte after the valid UTF-8 in a run of bytes above 0x7f. */
static const char *find_utf8_end(const char *at, const char *end, bool *valid)
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

/* Finds the mistake in the string at `at`, which the scanner refused. */
static bool find_string_mistake(struct reader *reader)
{
    const char *at = reader->at + 1, *next;
    bool valid = true;
    for (; at < reader->end && *at != '"'; at = next) {
        if ((unsigned char)*at < 0x20)
            return note_mistake_at(reader, at, "a control character must be escaped");
        if (*at == '\\')
            next = json_escape_end(at, reader->end);
        else if ((unsigned char)*at < 0x80)
            next = at + 1;
        else
            next = find_utf8_end(at, reader->end, &valid);
        if (!next)
            return note_mistake_at(reader, at, "invalid escape");
        if (!valid)
            return note_mistake_at(reader, next, "invalid UTF-8");
    }
    return note_mistake_at(reader, reader->end, "expected the string's closing quote");
}

static bool read_string_token(struct reader *reader)
{
    const char *string_end = json_string_end(reader->at, reader->end);
    if (!string_end)
        return find_string_mistake(reader);
    reader->at = string_end;
    return true;
}

/* ---- Other values ---- */

static bool read_digit_run(struct reader *reader)
{
    const char *begin = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return reader->at > begin || note_mistake_at(reader, reader->at, "expected a digit");
}

static bool take_byte_of(struct reader *reader, const char *any)
{
    if (reader->at == reader->end || !*reader->at || !strchr(any, *reader->at))
        return false;
    reader->at++;
    return true;
}

static bool read_number_token(struct reader *reader)
{
    take_byte_of(reader, "-");
    if (!take_byte_of(reader, "0") && !read_digit_run(reader))
        return false;
    if (take_byte_of(reader, ".") && !read_digit_run(reader))
        return false;
    if (!take_byte_of(reader, "eE"))
        return true;
    take_byte_of(reader, "+-");
    return read_digit_run(reader);
}

static bool read_literal_token(struct reader *reader)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t len = strlen(words[i]);
        if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, words[i], len) != 0)
            continue;
        reader->at += len;
        return true;
    }
    return note_mistake_at(reader, reader->at,
                           reader->state == VALUE_OR_END ? "expected a value or ']'"
                                                         : "expected a value");
}

static bool open_container(struct reader *reader, bool object)
{
    if (reader->depth == JSON_DEPTH_MAX)
        return note_mistake_at(reader, reader->at, "expected at most 64 levels of nesting");
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

static bool read_value_token(struct reader *reader)
{
    const char first = reader->at < reader->end ? *reader->at : '\0';
    if (first == ']' && reader->state == VALUE_OR_END)
        return close_container(reader);
    if (first == '{' || first == '[')
        return open_container(reader, first == '{');
    if (first == '"'                                     ? !read_string_token(reader)
        : first == '-' || (first >= '0' && first <= '9') ? !read_number_token(reader)
                                                         : !read_literal_token(reader))
        return false;
    reader->state = AFTER;
    return true;
}

static bool read_name_token(struct reader *reader)
{
    const bool may_end = reader->state == NAME_OR_END;
    if (may_end && reader->at < reader->end && *reader->at == '}')
        return close_container(reader);
    if (reader->at == reader->end || *reader->at != '"')
        return note_mistake_at(reader, reader->at,
                               may_end ? "expected a name in quotes or '}'"
                                       : "expected a name in quotes");
    if (!read_string_token(reader))
        return false;
    skip_reader_space(reader);
    if (!take_byte_of(reader, ":"))
        return note_mistake_at(reader, reader->at, "expected ':'");
    reader->state = VALUE;
    return true;
}

static bool read_after_value(struct reader *reader)
{
    const bool object = reader->objects & 1;
    if (reader->at < reader->end && *reader->at == (object ? '}' : ']'))
        return close_container(reader);
    if (!take_byte_of(reader, ","))
        return note_mistake_at(reader, reader->at,
                               object ? "expected ',' or '}'" : "expected ',' or ']'");
    reader->state = object ? NAME : VALUE;
    return true;
}

/* Reads one token. Returns false at a mistake. */
static bool read_next_token(struct reader *reader)
{
    skip_reader_space(reader);
    switch (reader->state) {
    case VALUE:
    case VALUE_OR_END:
        return read_value_token(reader);
    case NAME:
    case NAME_OR_END:
        return read_name_token(reader);
    case AFTER:
        break;
    }
    return read_after_value(reader);
}

bool json_error_find(struct json_error *error, const char *text, size_t len)
{
    struct reader reader = {.begin = text, .at = text, .end = text + len, .state = VALUE};
    bool valid = true;
    do
        valid = read_next_token(&reader);
    while (valid && reader.depth > 0);
    if (valid) {
        skip_reader_space(&reader);
        if (reader.at < reader.end)
            reader.what = "expected the end of the text";
    }
    *error = (struct json_error){reader.what, (size_t)(reader.at - text)};
    return reader.what != NULL;
}

const char *json_error_text(char *out, size_t size, const char *text, size_t len)
{
    struct json_error error;
    if (!json_error_find(&error, text, len))
        error = (struct json_error){"no error", len};
    snprintf(out, size, "%s at byte %zu%s", error.what, error.at,
             error.at == len ? ", the end of the text" : "");
    return out;
}
