/*
 * Where a text stops being JSON, and why: for the message that a person gets. The scanner of json.h
 * only says that it does, as fast as it can; this is a second, slower look at what it has refused.
 */
#ifndef WSPUSHD_PROTO_JSON_ERROR_H
#define WSPUSHD_PROTO_JSON_ERROR_H

#include <stdbool.h>
#include <stddef.h>

struct json_error {
    const char *what; /* "expected ',' or '}'"; static */
    size_t at;        /* bytes before the one that is wrong; the text's length where it ends */
};

/* Finds the first mistake. Returns false if the text is JSON by the rules of json_valid; then
 * *error is undefined. */
bool json_error_find(struct json_error *error, const char *text, size_t len);

/* Writes "expected ',' or '}' at byte 24", bytes being counted from 0, as a string of at most
 * `size` bytes with its NUL, and returns `out`. The text must not be JSON. */
const char *json_error_text(char *out, size_t size, const char *text, size_t len);

#endif
