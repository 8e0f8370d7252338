/*
 * One connection to the server, from connect(2) to the close frame. The caller pulls events:
 *
 *            conn_open
 *                │
 *                ▼              101               close frame sent
 *   CLOSED  CONNECTING ──▶ OPENING ──▶ OPEN ──────────────────▶ CLOSING
 *     ▲          │            │          │                         │
 *     └──────────┴────────────┴──────────┴─────────────────────────┘
 *                    CONN_ENDED: conn->end says why
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_CONN_H
#define WSPUSHD_TOOLS_WSPUSH_CONN_H

#include "tools/wspush_buffer.h"
#include "tools/wspush_net.h"
#include "tools/wspush_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ws.h"

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_OPENING, CONN_OPEN, CONN_CLOSING };

enum conn_event {
    CONN_NOTHING, /* nothing yet: poll */
    CONN_OPENED,  /* the handshake is complete */
    CONN_MESSAGE, /* a complete message, in conn_frame */
    CONN_CONTROL, /* a ping (already answered) or pong, in conn_frame */
    CONN_ENDED,
};

/* A complete message or control frame; borrowed until the next conn_next(). */
struct conn_frame {
    enum ws_opcode opcode; /* WS_TEXT, WS_BINARY, WS_PING, WS_PONG */
    const uint8_t *data;
    size_t len;
};

/* Why a connection ended. */
enum end_kind {
    END_UNREACHABLE,   /* no connection, or no answer to the handshake in time */
    END_UNTRUSTED,     /* the server's certificate is not trusted */
    END_REFUSED,       /* an HTTP answer other than 101: `status`, `retry_after_s` */
    END_NOT_WEBSOCKET, /* not a valid answer to the handshake */
    END_BY_PEER,       /* the server's close frame: `code`, `text` is the reason */
    END_BY_US,         /* conn_close(), answered or not */
    END_LOST,          /* ended without a close frame */
    END_BROKEN,        /* the server violated the protocol: `code` */
};

struct conn_end {
    enum end_kind kind;
    int status;
    unsigned retry_after_s;
    uint16_t code;
    struct buffer text; /* escaped */
};

struct conn {
    enum conn_state state;
    const struct options *options; /* borrowed */
    struct net net;
    struct buffer in, out;
    size_t used;  /* bytes of `in` already turned into events */
    char key[24]; /* Sec-WebSocket-Key of this attempt */
    struct ws_rx rx;
    struct buffer message; /* the parts of a message received so far */
    uint64_t deadline_ms;  /* for connecting, opening and closing; 0: none */
    bool eof;              /* the server sends nothing more */
    bool has_ended;        /* `end` is set, but CONN_ENDED not returned yet */
    struct conn_end end;
};

/* Starts to connect. `conn` is all zero or ended. */
void conn_open(struct conn *conn, const struct options *options, uint64_t now_ms);

/* For poll(2): the descriptor (-1 while CLOSED) and the events to wait for. */
int conn_fd(const struct conn *conn);
short conn_poll_events(const struct conn *conn);
bool conn_has_pending(const struct conn *conn);

/* Moves bytes after poll(2) reported `revents` (or if there is pending input), and checks the
 * deadline. */
void conn_drive(struct conn *conn, short revents, uint64_t now_ms);

/* Returns the next event. Call until CONN_NOTHING. */
enum conn_event conn_next(struct conn *conn, struct conn_frame *frame);

/* Queues a frame; only while OPEN. */
void conn_send(struct conn *conn, enum ws_opcode opcode, const void *data, size_t len);

/* Starts the closing handshake if OPEN, gives up if not yet OPEN. The connection ends with
 * END_BY_US. */
void conn_close(struct conn *conn, uint16_t code, const char *reason, uint64_t now_ms);

/* Gives up an OPEN connection, which ends with END_LOST. */
void conn_lose(struct conn *conn, const char *why);

void conn_free(struct conn *conn);

#endif
