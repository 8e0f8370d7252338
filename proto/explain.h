/*
 * What is wrong with a push or a message, in words for the person who has to correct it: the value,
 * the place, and what belongs there. Called only for what was refused already, so it may look at
 * the text as often as it likes.
 */
#ifndef WSPUSHD_PROTO_EXPLAIN_H
#define WSPUSHD_PROTO_EXPLAIN_H

#include "proto/envelope.h"
#include "proto/hint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXPLAIN_MAX = 320 }; /* bytes of an explanation, with its NUL */

/* The members of an envelope, of the body of POST /api/push, and of a message of JSON mode. */
extern const struct names envelope_names, push_body_names, message_names;

/* Explains why push_decode has returned `error` for these bytes; PUSH_BAD_OPTION without a wrong
 * option: users is missing. */
void explain_push(char out[EXPLAIN_MAX], enum push_error error, const uint8_t *bytes, size_t len);

/* Explains why message_from_json has refused the text; `scratch` as for that. */
void explain_message(char out[EXPLAIN_MAX], const char *text, size_t len, uint8_t *scratch);

/* Explains that a member is missing, and which unknown one may have been meant. */
void explain_missing(char out[EXPLAIN_MAX], const char *member, const char *text, size_t len,
                     const struct names *known);

/* Explains why a text is not a JSON object. */
void explain_json(char out[EXPLAIN_MAX], const char *text, size_t len);

/* Writes `unknown member "paylod": did you mean "data"` of the first member that is not among the
 * known ones. Returns false if all are known, or the text is not an object. */
bool explain_unknown(char out[EXPLAIN_MAX], const char *text, size_t len,
                     const struct names *known);

/* Writes the value as it stands in the text if it is short, else what it is: `"5"`, `an object`.
 * Returns `out`. */
const char *explain_value(char *out, size_t size, const struct json_value *value);

#endif
