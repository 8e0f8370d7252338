/*
 * The members of a push's envelope; a JSON-mode message has the first four of them. Internal to
 * proto/: message.c and envelope.c share this reader of the opcode and the payload.
 */
#ifndef WSPUSHD_PROTO_MEMBERS_H
#define WSPUSHD_PROTO_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/message.h"

/* X(NAME, "name"), the most frequent first. */
#define MEMBERS(X)      \
    X(OP, "op")         \
    X(DATA, "data")     \
    X(TEXT, "text")     \
    X(B64, "b64")       \
    X(ID, "id")         \
    X(TTL, "ttl")       \
    X(KEY, "key")       \
    X(CONN, "conn")     \
    X(EXCEPT, "except") \
    X(USERS, "users")   \
    X(REPORT, "report")

enum member {
#define MEMBER_ENUM(name, text) MEMBER_##name,
    MEMBERS(MEMBER_ENUM)
#undef MEMBER_ENUM
        MEMBER_COUNT
};

/* The members found in one object, indexed by enum member. They borrow from the text. An absent
 * member has type JSON_TYPE_NONE, and its other fields are undefined. */
struct members {
    struct json_value value[MEMBER_COUNT];
    uint32_t unknown; /* 1 if there are other members, else 0 */
};

/* Collects the members of the object in `text`. If a name occurs twice, the last one counts.
 * Returns false if the text is not exactly one valid object. */
bool members_collect(struct members *members, const char *text, size_t len);

/*
 * Fills the message from op and from data, text or b64. The payload borrows from the text, or from
 * `scratch` (as large as the text) if it had to be decoded. Returns PUSH_OK or the error in these
 * four members.
 */
enum push_error members_message(const struct members *members, struct message *message,
                                uint8_t *scratch);

#endif
