/*
 * A JSON scanner (RFC 8259) for text that is passed through: it checks and slices but builds no
 * tree, so that a push's payload is never copied. Code that needs a tree uses jansson; no name here
 * is one of jansson's, so that both can be linked and included together.
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

/* A value as a part of the text; a string includes its quotes. */
struct json_value {
    enum json_type type;
    const char *at;
    size_t len;
};

/* True if the text is exactly one valid JSON value, optionally surrounded by white space: strict
 * grammar, valid UTF-8, no lone surrogate escapes, nested at most JSON_DEPTH_MAX deep. */
bool json_valid(const char *text, size_t len);

/*
 * Walks the members of the object in text[0..len) one at a time and checks them on the way:
 *
 *     struct json_walk walk = json_walk_object(text, len);
 *     while (json_next(&walk, &name, &value)) ...
 *     if (walk.failed) the text is not one valid object
 *
 * `name` is the member's name with its quotes, a JSON_TYPE_STRING. For an array (json_walk_array())
 * name is NULL. Each value may be JSON_DEPTH_MAX deep, so that every value that is valid by itself
 * is valid as a member.
 */
struct json_walk {
    const char *at, *end;
    bool failed, begun, array;
};
struct json_walk json_walk_object(const char *text, size_t len);
struct json_walk json_walk_array(const char *text, size_t len);
bool json_next(struct json_walk *walk, struct json_value *name, struct json_value *value);

/* True if a JSON_TYPE_STRING equals `text` after its escapes are decoded. */
bool json_string_is(const struct json_value *string, const char *text);

/* Replaces each escape of a lone surrogate by \u0000, in place. RFC 8259 §8.2 allows such escapes
 * and programs that cut text write them, but the scanner refuses them. This makes a document
 * readable of which only some members matter; a name that contains one is still refused because of
 * its NUL. */
void json_mask_surrogates(char *text, size_t len);

/* Decodes a valid JSON_TYPE_STRING into `out` (at least string->len bytes). The result may contain
 * NUL bytes. Returns its length. */
size_t json_unescape(char *out, const struct json_value *string);

/* Reads an unsigned integer. Returns false if the number is negative, has a fraction or an
 * exponent, or exceeds `max`. */
bool json_uint(const struct json_value *number, uint64_t max, uint64_t *out);

/* Writes `len` bytes of valid UTF-8 as a JSON string with its quotes. Returns its length; with
 * `out` NULL, nothing is written. */
size_t json_quote(char *out, const char *text, size_t len);

#endif
