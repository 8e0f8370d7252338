/*
 * The opcode protocol: a message and its two encodings.
 *
 *   binary mode, a binary frame          JSON mode, a text frame
 *      0         4                       {"op":110,"data":{"a":1}}    the payload is JSON
 *      +---------+-----------------+     {"op":110,"text":"..."}      UTF-8, but not JSON
 *      | opcode  | payload ...     |     {"op":110,"b64":"..."}       anything else
 *      | u32, BE |                 |     {"op":110}                   no payload at all
 *      +---------+-----------------+
 */
#ifndef WSPUSHD_PROTO_MESSAGE_H
#define WSPUSHD_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The system's opcodes, 0 to 99: X(NAME, number, direction, description)
 *
 * A row that clients may send names its handler, a function in worker/requests.c: EITHER(on_ping).
 * The file that expands the third column defines TO_CLIENT, TO_SERVER and EITHER.
 */
#define SYSTEM_OPCODES(X)                                                                 \
    X(ERROR, 0, TO_CLIENT, "a request was refused")                                       \
    X(HELLO, 1, TO_CLIENT, "the connection is ready: every push reaches it from here on") \
    X(PING, 2, EITHER(on_ping), "answered by PONG with the same payload")                 \
    X(PONG, 3, EITHER(on_pong), "the answer to PING")                                     \
    X(SUB, 4, TO_SERVER(join_requested), "join topics")                                   \
    X(SUBBED, 5, TO_CLIENT, "topics joined")                                              \
    X(UNSUB, 6, TO_SERVER(leave_requested), "leave topics")                               \
    X(UNSUBBED, 7, TO_CLIENT, "topics left")                                              \
    X(ACCEPTED, 8, TO_CLIENT, "Redis has stored the request")                             \
    X(GAP, 9, TO_CLIENT, "the Redis link was down: pushes may be missing")                \
    X(AUTH, 10, TO_SERVER(on_auth), "a new token before the old one expires")             \
    X(BYE, 11, TO_CLIENT, "the server is about to close; reconnect after the delay given")

enum system_opcode {
#define SYSTEM_OPCODE_ENUM(name, number, direction, text) OP_##name = (number),
    SYSTEM_OPCODES(SYSTEM_OPCODE_ENUM)
#undef SYSTEM_OPCODE_ENUM
};

enum { OP_APPLICATION_MIN = 100, OP_APPLICATION_MAX = 16777215, OPCODE_SIZE = 4 };

/* Returns "HELLO" for 1; NULL if the opcode is not a system opcode. */
const char *system_opcode_name(uint32_t op);

/* The codes in an ERROR's payload. X(NAME, "code", default message) */
#define ERROR_CODES(X)                                                             \
    X(SHORT_MESSAGE, "short_message", "a message must start with a 4-byte opcode") \
    X(UNKNOWN_OPCODE, "unknown_opcode", "no such opcode")                          \
    X(BAD_PAYLOAD, "bad_payload", "invalid payload for this opcode")               \
    X(TOO_LARGE, "too_large", "payload too large for this opcode")                 \
    X(RATE_LIMITED, "rate_limited", "too many requests on this connection")        \
    X(UNAVAILABLE, "unavailable", "the request could not be stored; try again")    \
    X(FORBIDDEN, "forbidden", "not allowed for this user")                         \
    X(BAD_TOPIC, "bad_topic", "invalid topic name")                                \
    X(TOO_MANY_TOPICS, "too_many_topics", "too many topics on this connection")

enum error_code {
#define ERROR_CODE_ENUM(name, code, text) ERROR_##name,
    ERROR_CODES(ERROR_CODE_ENUM)
#undef ERROR_CODE_ENUM
};
const char *error_code_name(enum error_code code);
const char *error_code_text(enum error_code code);

/* What is known about a payload, so that JSON mode need not examine it. */
enum payload_form {
    PAYLOAD_UNKNOWN, /* to be detected: JSON, else UTF-8, else binary */
    PAYLOAD_JSON,
    PAYLOAD_TEXT, /* valid UTF-8, sent as "text" even if it is valid JSON */
    PAYLOAD_BINARY,
};

struct message {
    uint32_t op;
    enum payload_form form;
    const uint8_t *payload; /* borrowed */
    size_t len;
};

void opcode_put(uint8_t out[OPCODE_SIZE], uint32_t op);
uint32_t opcode_get(const uint8_t in[OPCODE_SIZE]);

/* Decodes a binary message, which borrows from `bytes`. Returns false if it is shorter than an
 * opcode. */
bool message_from_binary(struct message *message, const uint8_t *bytes, size_t len);

/*
 * Decodes a JSON-mode message {"op":N,"data"|"text"|"b64":...}. A b64, or a text that contains
 * escapes, is decoded into `scratch` (at least `len` bytes); everything else borrows from the text.
 * Unknown members are ignored. Returns 0, or -1 if the text is not a message: not an object, no op,
 * op out of range, two payloads, invalid base64.
 */
int message_from_json(struct message *message, const char *text, size_t len, uint8_t *scratch);

/* Returns the largest number of bytes that message_to_json() writes for a payload of `len` bytes.
 */
size_t message_json_bound(size_t len);

/* Encodes the message as a JSON-mode text in `out` (message_json_bound() bytes). Returns its
 * length. */
size_t message_to_json(char *out, const struct message *message);

#endif
