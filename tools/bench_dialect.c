/*
 * The dialects: see the header. Each one examines only the beginning of a message and builds
 * nothing: a load generator that parsed JSON would measure itself.
 */
#include "tools/bench_dialect.h"

#include <stdio.h>
#include <string.h>

#include "proto/message.h"

static struct heard make_heard_message(enum heard_kind kind, const uint8_t *message, size_t len,
                                       size_t skip)
{
    return (struct heard){kind, (const char *)message + skip, len - skip};
}

static struct heard hear_wspush_message(const uint8_t *message, size_t len)
{
    if (len < OPCODE_SIZE)
        return make_heard_message(HEARD_NOTHING, message, len, 0);
    enum heard_kind kind = HEARD_PUSH;
    const uint32_t op = opcode_get(message);
    if (op < OP_APPLICATION_MIN) {
        kind = op == OP_HELLO      ? HEARD_READY
               : op == OP_SUBBED   ? HEARD_JOINED
               : op == OP_ACCEPTED ? HEARD_ACCEPTED
               : op == OP_ERROR    ? HEARD_REJECTED
               : op == OP_GAP      ? HEARD_GAP
                                   : HEARD_NOTHING;
    }
    return make_heard_message(kind, message, len, OPCODE_SIZE);
}

static struct heard hear_plain_message(const uint8_t *message, size_t len)
{
    return make_heard_message(HEARD_PUSH, message, len, 0);
}

/* Engine.IO 4: 0 open, 2 ping, 4 message. Socket.IO 5 within it: 0 connected, 2 event, an array
 * whose first element is the name of the event and whose second is the payload, here a string. */
static struct heard hear_socketio_message(const uint8_t *message, size_t len)
{
    if (len >= 1 && message[0] == '0')
        return make_heard_message(HEARD_GREETING, message, len, 1);
    if (len >= 1 && message[0] == '2')
        return make_heard_message(HEARD_PING, message, len, 1);
    if (len >= 2 && message[0] == '4' && message[1] == '0')
        return make_heard_message(HEARD_READY, message, len, 2);
    if (len >= 2 && message[0] == '4' && message[1] == '2') {
        static const char between[] = "\",\"";
        const uint8_t *at = memmem(message, len, between, sizeof(between) - 1);
        if (at != NULL)
            return make_heard_message(HEARD_PUSH, message, len,
                                      (size_t)(at - message) + sizeof(between) - 1);
    }
    return make_heard_message(HEARD_NOTHING, message, len, 0);
}

static const struct dialect dialects[] = {
    {"wspush", NULL, "push.bin.v1", WS_BINARY, false, true, NULL, NULL, hear_wspush_message},
    {"plain", NULL, NULL, WS_TEXT, true, false, NULL, NULL, hear_plain_message},
    {"socketio", "/socket.io/?EIO=4&transport=websocket", NULL, WS_TEXT, false, false, "40", "3",
     hear_socketio_message},
};

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
        if (strcmp(dialects[i].name, name) == 0)
            return &dialects[i];
    }
    return NULL;
}

size_t dialect_wrap(const struct dialect *dialect, bool envelope, uint32_t op, char *out,
                    const char *payload, size_t len)
{
    size_t at = 0;

    if (dialect->opcodes && envelope) {
        at = (size_t)sprintf(out, "{\"op\":%u,\"text\":\"", op);
    } else if (dialect->opcodes) {
        opcode_put((uint8_t *)out, op);
        at = OPCODE_SIZE;
    }
    memcpy(out + at, payload, len);
    at += len;
    if (dialect->opcodes && envelope) {
        memcpy(out + at, "\"}", 2);
        at += 2;
    }
    return at;
}
