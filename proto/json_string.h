/*
 * What the JSON scanner needs to know about strings. Internal to proto/; the public functions are
 * in json.h.
 */
#ifndef WSPUSHD_PROTO_JSON_STRING_H
#define WSPUSHD_PROTO_JSON_STRING_H

/* Returns the byte after the string whose opening quote is at `at`, or NULL if the string does not
 * end before `end` or contains control characters, invalid escapes or invalid UTF-8. */
const char *json_string_end(const char *at, const char *end);

/* Returns the byte after the escape, or pair of escapes, whose backslash is at `at`, or NULL if it
 * is invalid. */
const char *json_escape_end(const char *at, const char *end);

#endif
