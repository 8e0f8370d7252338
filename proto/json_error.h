/*
 * Finds where and why a text is not valid JSON, for a message to a person. The scanner of json.h
 * only reports that it is invalid, as fast as it can; this is a slower second pass over a text that
 * the scanner refused.
 */
#ifndef WSPUSHD_PROTO_JSON_ERROR_H
#define WSPUSHD_PROTO_JSON_ERROR_H

#include <stdbool.h>
#include <stddef.h>

struct json_error {
    const char *what; /* "expected ',' or '}'"; static */
    size_t
        at; /* number of bytes before the mistake; the text's length if the text ends too early */
};

/* Finds the first mistake. Returns false if the text is valid by the rules of json_valid(). */
bool json_error_find(struct json_error *error, const char *text, size_t len);

/* Writes "expected ',' or '}' at byte 24", counted from 0, as a string of at most `size` bytes
 * including its NUL. Returns `out`. The text must not be valid JSON. */
const char *json_error_text(char *out, size_t size, const char *text, size_t len);

#endif
