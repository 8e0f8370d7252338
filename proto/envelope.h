/*
 * A push as a backend publishes it: an envelope or a raw frame. The first byte tells which.
 *
 *   {"op":110,"data":{...},"id":"m1","ttl":60}     0x7b: an envelope
 *   00 00 00 6e  e6 88 91 ...                      anything else: an opcode and its payload
 *
 * An opcode whose first byte is 0x7b (2,063,597,568 and up) is out of range, so the two cannot be
 * confused.
 */
#ifndef WSPUSHD_PROTO_ENVELOPE_H
#define WSPUSHD_PROTO_ENVELOPE_H

#include "proto/json.h"
#include "proto/message.h"

/* Why a push is malformed: X(NAME, "label of the counter and reason in the log", "description"). */
#define PUSH_ERRORS(X)                                                  \
    X(SHORT, "short", "shorter than an opcode")                         \
    X(BAD_JSON, "bad_json", "not a single valid JSON object")           \
    X(NO_OP, "no_op", "op is missing or not an integer")                \
    X(BAD_OP, "bad_op", "op is not within 0 to 16777215")               \
    X(TWO_PAYLOADS, "two_payloads", "more than one of data, text, b64") \
    X(BAD_TEXT, "bad_text", "text is not a string")                     \
    X(BAD_BASE64, "bad_base64", "b64 is not a string of base64")        \
    X(BAD_OPTION, "bad_option", "invalid conn, except, id, ttl, key, users or report")

enum { PUSH_KEY_MAX = 128 }; /* maximum length of a key, in bytes */

enum push_error {
    PUSH_OK = 0,
#define PUSH_ERROR_ENUM(name, code, text) PUSH_##name,
    PUSH_ERRORS(PUSH_ERROR_ENUM)
#undef PUSH_ERROR_ENUM
        PUSH_ERROR_END
};
const char *push_error_name(enum push_error error);
const char *push_error_text(enum push_error error);

/* A decoded push. All its parts borrow from the text or from `scratch`. */
struct push {
    struct message message;
    struct json_value conn, except, key; /* JSON_TYPE_STRING, or JSON_TYPE_NONE if absent */
    struct json_value id;     /* likewise; also set if the rest of the envelope is malformed */
    struct json_value users;  /* JSON_TYPE_ARRAY of strings of 1 to 63 bytes, or JSON_TYPE_NONE */
    struct json_value report; /* JSON_TYPE_STRING with a ticket (report.h), or JSON_TYPE_NONE */
    uint32_t ttl;             /* seconds; 0: no limit */
    uint32_t unknown;         /* 1 if the envelope has an unknown member, else 0 */
};

/*
 * Decodes a push without allocating memory. `scratch` (at least `len` bytes) receives a decoded b64
 * or a text that contains escapes; every other payload is passed on exactly as the envelope has it.
 * Unknown members are ignored, except that push->unknown is set. Opcodes from 0 to 16,777,215 are
 * accepted in envelopes and in raw frames; a larger one is PUSH_BAD_OP. The payload is optional.
 */
enum push_error push_decode(struct push *push, const uint8_t *bytes, size_t len, uint8_t *scratch);

#endif
