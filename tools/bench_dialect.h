/*
 * How a server talks to its clients. One table, so that other servers can be measured with the same
 * clients:
 *
 *   wspush     the opcode protocol (docs/protocol.md): ready with HELLO
 *   plain      each frame is the payload of a push: ready when upgraded
 *   socketio   Socket.IO 4 over WebSocket only: Engine.IO's packet type, Socket.IO's, JSON
 */
#ifndef WSPUSHD_TOOLS_BENCH_DIALECT_H
#define WSPUSHD_TOOLS_BENCH_DIALECT_H

#include "proto/ws.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kinds of messages from the server. */
enum heard_kind {
    HEARD_NOTHING,  /* nothing relevant */
    HEARD_GREETING, /* the dialect's answer is due */
    HEARD_READY,
    HEARD_PING,     /* the dialect's pong is due */
    HEARD_JOINED,   /* the topic was joined */
    HEARD_PUSH,     /* `text` starts with the payload of a push, or of an echoed request */
    HEARD_ACCEPTED, /* a request was accepted */
    HEARD_REJECTED, /* a request or a SUB was refused */
    HEARD_GAP,      /* pushes may be missing */
};

struct heard {
    enum heard_kind kind;
    const char *text; /* borrowed */
    size_t len;
};

/* The number of bytes of a message that are examined: a payload is at the beginning. */
enum { HEARD_MOST = 128 };

struct dialect {
    const char *name;
    const char *path;        /* replaces the URL's, or NULL */
    const char *subprotocol; /* to offer, or NULL */
    enum ws_opcode opcode;   /* of messages from clients */
    bool ready_at_once;      /* ready without a greeting */
    bool opcodes;            /* clients can join topics and send requests */
    const char *greeting, *pong;
    struct heard (*hear)(const uint8_t *message, size_t len);
};

const struct dialect *dialect_find(const char *name);

/* Writes the message to publish for a payload: for wspushd a raw frame or an envelope, for others
 * the payload itself. `out` has DIALECT_WRAP more bytes than the payload. Returns the length. */
enum { DIALECT_WRAP = 64 };
size_t dialect_wrap(const struct dialect *dialect, bool envelope, uint32_t op, char *out,
                    const char *payload, size_t len);

#endif
