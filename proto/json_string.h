/*
 * What the JSON scanner needs to know of strings. Internal to proto/; the functions for everybody
 * are in json.h.
 */
#ifndef WSPUSHD_PROTO_JSON_STRING_H
#define WSPUSHD_PROTO_JSON_STRING_H

/* The byte after the string whose opening quote is at `at`; NULL where it does not end before
 * `end`, or has control characters, bad escapes or invalid UTF-8. */
const char *json_string_end(const char *at, const char *end);

/* The byte after the escape, or the pair of escapes, whose backslash is at `at`; NULL if it is not
 * a valid one. */
const char *json_escape_end(const char *at, const char *end);

#endif
