/*
 * Explains the mistake in a push or a message to the person who has to correct it: the value found,
 * its place, and the expected value. Called only for input that was refused already, so it may
 * parse the text several times.
 */
#ifndef WSPUSHD_PROTO_EXPLAIN_H
#define WSPUSHD_PROTO_EXPLAIN_H

#include "proto/envelope.h"
#include "proto/hint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXPLAIN_MAX = 320 }; /* maximum length of an explanation, including its NUL */

/* The members of an envelope, of the body of POST /api/push, and of a JSON-mode message. */
extern const struct names envelope_names, push_body_names, message_names;

/* Explains why push_decode() returned `error` for these bytes. If the error is PUSH_BAD_OPTION and
 * every option is valid, `users` is missing. */
void explain_push(char out[EXPLAIN_MAX], enum push_error error, const uint8_t *bytes, size_t len);

/* Explains why message_from_json() refused the text. `scratch` as for that function. */
void explain_message(char out[EXPLAIN_MAX], const char *text, size_t len, uint8_t *scratch);

/* Explains that a member is missing, and which unknown member may have been meant. */
void explain_missing(char out[EXPLAIN_MAX], const char *member, const char *text, size_t len,
                     const struct names *known);

/* Explains why a text is not a JSON object. */
void explain_json(char out[EXPLAIN_MAX], const char *text, size_t len);

/* Writes `unknown member "paylod": did you mean "data"` for the first member that is not among the
 * known ones. Returns false if all are known or the text is not an object. */
bool explain_unknown(char out[EXPLAIN_MAX], const char *text, size_t len,
                     const struct names *known);

/* Writes the value as the text has it if it is short, else its type: `"5"`, `an object`. Returns
 * `out`. */
const char *explain_value(char *out, size_t size, const struct json_value *value);

#endif
