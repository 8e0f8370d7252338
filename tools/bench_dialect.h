/*
 * How a server speaks to its clients. One table, so that other servers can be measured by the same
 * clients:
 *
 *   wspush     the opcode protocol (docs/protocol.md): ready with HELLO
 *   plain      any frame is a push and its payload the push's: ready when upgraded
 *   socketio   Socket.IO 4 over WebSocket only: Engine.IO's packet type, Socket.IO's, JSON
 */
#ifndef WSPUSHD_TOOLS_BENCH_DIALECT_H
#define WSPUSHD_TOOLS_BENCH_DIALECT_H

#include "proto/ws.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a message of the server is. */
enum heard_kind {
    HEARD_NOTHING,  /* of interest */
    HEARD_GREETING, /* the dialect's answer is due */
    HEARD_READY,
    HEARD_PING,     /* the dialect's pong is due */
    HEARD_JOINED,   /* the topic */
    HEARD_PUSH,     /* `text` begins with the payload; or a request that comes back as an echo */
    HEARD_ACCEPTED, /* a request */
    HEARD_REJECTED, /* a request, or a SUB */
    HEARD_GAP,      /* pushes may be missing */
};

struct heard {
    enum heard_kind kind;
    const char *text; /* borrowed */
    size_t len;
};

/* Messages are looked at up to here: what a push carries stands at its beginning. */
enum { HEARD_MOST = 128 };

struct dialect {
    const char *name;
    const char *path;        /* instead of the URL's, or NULL */
    const char *subprotocol; /* to offer, or NULL */
    enum ws_opcode opcode;   /* of what clients send */
    bool ready_at_once;      /* without a message */
    bool opcodes;            /* clients can join topics and send requests */
    const char *greeting, *pong;
    struct heard (*hear)(const uint8_t *message, size_t len);
};

const struct dialect *dialect_find(const char *name);

/* What is published for a payload: to wspushd a raw frame or an envelope, to others the payload
 * itself. Writes to `out`, of DIALECT_WRAP more bytes than the payload has; returns the length. */
enum { DIALECT_WRAP = 64 };
size_t dialect_wrap(const struct dialect *dialect, bool envelope, uint32_t op, char *out,
                    const char *payload, size_t len);

#endif
