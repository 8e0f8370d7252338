/*
 * A push as a backend publishes it: an envelope or a raw frame, told apart by the first byte.
 *
 *   {"op":110,"data":{...},"id":"m1","ttl":60}     0x7b: an envelope
 *   00 00 00 6e  e6 88 91 ...                      anything else: an opcode and its payload
 *
 * An opcode whose first byte is 0x7b (2,063,597,568 and up) is out of range, so nothing is
 * ambiguous.
 */
#ifndef WSPUSHD_PROTO_ENVELOPE_H
#define WSPUSHD_PROTO_ENVELOPE_H

#include "proto/json.h"
#include "proto/message.h"

/* Why a push is malformed: the counter's label and the log's reason. */
#define PUSH_ERRORS(X)                                                  \
    X(SHORT, "short", "shorter than an opcode")                         \
    X(BAD_JSON, "bad_json", "not one valid JSON object")                \
    X(NO_OP, "no_op", "no op, or not an integer")                       \
    X(BAD_OP, "bad_op", "op is not within 0 to 16777215")               \
    X(TWO_PAYLOADS, "two_payloads", "more than one of data, text, b64") \
    X(BAD_TEXT, "bad_text", "text is not a string")                     \
    X(BAD_BASE64, "bad_base64", "b64 is not a string of base64")        \
    X(BAD_OPTION, "bad_option",                                         \
      "conn, except, id, ttl, key, users or report is not what it must be")

enum { PUSH_KEY_MAX = 128 }; /* bytes of a key */

enum push_error {
    PUSH_OK = 0,
#define PUSH_ERROR_ENUM(name, code, text) PUSH_##name,
    PUSH_ERRORS(PUSH_ERROR_ENUM)
#undef PUSH_ERROR_ENUM
        PUSH_ERROR_END
};
const char *push_error_name(enum push_error error);
const char *push_error_text(enum push_error error);

/* A decoded push. All of it borrows from the text or from the scratch. */
struct push {
    struct message message;
    struct json_value conn, except, key; /* JSON_TYPE_STRING, or JSON_TYPE_NONE where absent */
    struct json_value id;                /* the same; also of a push whose envelope is malformed */
    struct json_value users;  /* JSON_TYPE_ARRAY of strings, checked; or JSON_TYPE_NONE */
    struct json_value report; /* JSON_TYPE_STRING with a ticket (report.h), or JSON_TYPE_NONE */
    uint32_t ttl;             /* seconds; 0: none */
    uint32_t unknown;         /* 1 if the envelope has a member that nobody knows, else 0 */
};

/*
 * Decodes a push without allocating. `scratch` (at least `len` bytes) takes a decoded b64, or text
 * that has escapes; all else is passed on as it stands in the envelope. Unknown members are
 * ignored, and push->unknown tells of them. Envelopes may use any opcode from 0 to 16,777,215; raw
 * frames likewise, above is PUSH_BAD_OP. The payload may be missing (empty).
 */
enum push_error push_decode(struct push *push, const uint8_t *bytes, size_t len, uint8_t *scratch);

#endif
