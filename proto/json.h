/*
 * A JSON scanner (RFC 8259) for text that is passed through: it checks and slices, and builds no
 * tree, so that a push's payload is never copied. Where a tree is wanted, jansson is used instead;
 * no name here is one of jansson's, so that both can be linked and included together.
 */
#ifndef WSPUSHD_PROTO_JSON_H
#define WSPUSHD_PROTO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { JSON_DEPTH_MAX = 64 };

enum json_type {
    JSON_TYPE_NONE,
    JSON_TYPE_OBJECT,
    JSON_TYPE_ARRAY,
    JSON_TYPE_STRING,
    JSON_TYPE_NUMBER,
    JSON_TYPE_TRUE,
    JSON_TYPE_FALSE,
    JSON_TYPE_NULL
};

/* A value where it lies in the text; a string with its quotes. */
struct json_value {
    enum json_type type;
    const char *at;
    size_t len;
};

/* Whether the text is exactly one valid JSON value (white space around it allowed): strict grammar,
 * valid UTF-8, no lone surrogate escapes, at most JSON_DEPTH_MAX deep. */
bool json_valid(const char *text, size_t len);

/*
 * Walks the members of the object in text[0..len) one at a time, checking as it goes:
 *
 *     struct json_walk walk = json_walk_object(text, len);
 *     while (json_next(&walk, &name, &value)) ...
 *     if (walk.failed) the text is not one valid object
 *
 * `name` is the member's name with its quotes, a JSON_TYPE_STRING. For an array (json_walk_array)
 * name is NULL. Each value may be JSON_DEPTH_MAX deep, so that whatever is valid by itself is valid
 * as a member.
 */
struct json_walk {
    const char *at, *end;
    bool failed, begun, array;
};
struct json_walk json_walk_object(const char *text, size_t len);
struct json_walk json_walk_array(const char *text, size_t len);
bool json_next(struct json_walk *walk, struct json_value *name, struct json_value *value);

/* Whether a JSON_TYPE_STRING says exactly `text` (escapes decoded). */
bool json_string_is(const struct json_value *string, const char *text);

/* Turns each escape of half a surrogate pair into \u0000, in place. RFC 8259 §8.2 allows them,
 * programs that cut text write them, and the scanner refuses them; a document of which only some
 * members matter can be read so, and a name that holds one is still refused, for its NUL. */
void json_mask_surrogates(char *text, size_t len);

/* Decodes a valid JSON_TYPE_STRING into `out` (at least string->len bytes); returns the length. May
 * hold NUL bytes. */
size_t json_unescape(char *out, const struct json_value *string);

/* The number as an unsigned integer; false where it is negative, has a fraction or exponent, or is
 * above `max`. */
bool json_uint(const struct json_value *number, uint64_t max, uint64_t *out);

/* Writes `len` bytes of valid UTF-8 as a JSON string with its quotes. `out` NULL: only the length.
 */
size_t json_quote(char *out, const char *text, size_t len);

#endif
