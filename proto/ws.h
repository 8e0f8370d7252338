/*
 * The WebSocket frame codec (RFC 6455 §5). Takes bytes and returns events that point into them; no
 * I/O, no allocation.
 *
 *       0               1               2               3
 *      +-+-+-+-+-------+-+-------------+-------------------------------+
 *      |F|R|R|R| opcode|M| length (7)  | length, 16 or 64 bits, where  |
 *      |I|S|S|S|  (4)  |A|             | the 7 bits say 126 or 127     |
 *      |N|V|V|V|       |S|             |                               |
 *      +-+-+-+-+-------+K+-------------+-------------------------------+
 *      | masking key (4 bytes, client to server only)                  |
 *      +---------------------------------------------------------------+
 *      | payload ...                                                   |
 *      +---------------------------------------------------------------+
 *
 * A receiver's state between two reads is struct ws_rx. All zero means "between two messages", so
 * that an idle connection need not keep one.
 */
#ifndef WSPUSHD_PROTO_WS_H
#define WSPUSHD_PROTO_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* RFC 6455 §5.2 */
enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xa,
};

/* The close codes that the server sends (RFC 6455 §7.4.1, the IANA registry, and our own from
 * 4000): X(name, code, description, true if a client should reconnect) */
#define WS_CLOSE_CODES(X)                                      \
    X(NORMAL, 1000, "normal closure", false)                   \
    X(GOING_AWAY, 1001, "server stops", true)                  \
    X(PROTOCOL, 1002, "protocol error", false)                 \
    X(UNSUPPORTED, 1003, "message type not accepted", false)   \
    X(INVALID, 1007, "text is not valid UTF-8", false)         \
    X(TOO_BIG, 1009, "message too big", false)                 \
    X(INTERNAL, 1011, "internal error", true)                  \
    X(RESTART, 1012, "service restart", true)                  \
    X(TRY_LATER, 1013, "try again later", true)                \
    X(KICKED, 4001, "kicked", false)                           \
    X(REPLACED, 4002, "replaced by a newer connection", false) \
    X(EXPIRED, 4003, "token expired", false)                   \
    X(SLOW, 4008, "too slow", true)                            \
    X(NO_HEARTBEAT, 4009, "no heartbeat", true)

enum ws_close_code {
#define WS_CLOSE_ENUM(name, code, text, reconnect) WS_CLOSE_##name = (code),
    WS_CLOSE_CODES(WS_CLOSE_ENUM)
#undef WS_CLOSE_ENUM
};

/* Returns the description from the table, or "" for an unknown code. */
const char *ws_close_text(uint16_t code);

enum {
    WS_CONTROL_MAX = 125,         /* maximum payload of a control frame, RFC 6455 §5.5 */
    WS_HEADER_MAX = 14,           /* 2 + 8 + 4 */
    WS_REASON_MAX = 123,          /* maximum length of the reason in a close frame */
    WS_CLOSE_FRAME_MAX = 2 + 125, /* size of the largest unmasked close frame */
};

/* The limits of a receiver. */
struct ws_limits {
    uint64_t max_message; /* maximum number of bytes of a message, all fragments together */
    bool masked;          /* true in a server, which requires masked frames; false in a client */
};

/* A receiver's state. Zero-initialise it; only ws_rx.c accesses the fields. */
struct ws_rx {
    uint64_t left;    /* payload bytes of the frame not received yet */
    uint64_t message; /* payload bytes of the message received so far */
    uint32_t utf8;    /* state of the automaton in a text message */
    uint8_t mask[4];  /* rotated so that mask[0] applies to the next byte */
    uint8_t header[WS_HEADER_MAX];
    uint8_t header_len;  /* bytes of the header received so far; 0: between frames */
    bool in_payload;     /* the header is complete */
    uint8_t opcode;      /* of the current frame */
    bool fin;            /* of the current frame */
    uint8_t message_op;  /* WS_TEXT, WS_BINARY; 0: between messages */
    uint8_t control_len; /* bytes of a control frame's payload received so far */
    uint8_t control[WS_CONTROL_MAX];
};

enum ws_event_kind {
    WS_EVENT_NONE,    /* all bytes used, no event: read more */
    WS_EVENT_DATA,    /* a part of a message's payload */
    WS_EVENT_CONTROL, /* a complete ping, pong or close */
};

struct ws_event {
    enum ws_event_kind kind;
    enum ws_opcode opcode; /* TEXT or BINARY for data; else CLOSE, PING, PONG */
    bool first;            /* DATA: the first part of the message */
    bool last;             /* DATA: the last part of the message (may be empty) */
    uint8_t *data; /* borrowed: unmasked, in the caller's buffer or (fragmented control payload) in
                      the ws_rx */
    size_t len;    /* CLOSE: of the whole payload, code and reason */
    uint16_t close_code; /* CLOSE: the peer's code, or 1005 if it gave none */
};

/*
 * Takes the next event from buf[0..len). Unmasks in place. Returns the number of bytes used (0 only
 * if len is 0), or the negated close code with which the connection must fail: -1002 (§5.1, §5.2,
 * §5.4, §5.5, §7.4: reserved bits and opcodes, missing or unexpected mask, long or fragmented
 * control frames, lengths not in their shortest form, misplaced continuations, invalid close
 * payloads), -1007 (§8.1, at the first byte that cannot be UTF-8), -1009 (as soon as a header
 * announces more than max_message). A part of a message is returned as soon as it is there; an
 * unfragmented message that lies whole in buf is one event with first and last set. Call until all
 * bytes are used.
 */
ssize_t ws_rx_next(struct ws_rx *rx, const struct ws_limits *limits, uint8_t *buf, size_t len,
                   struct ws_event *event);

/* True if the receiver is between two messages, so that its state need not be kept. */
bool ws_rx_idle(const struct ws_rx *rx);

/* XORs `len` bytes with the masking key, a word at a time; key[0] applies to data[0]. */
void ws_mask(uint8_t *data, size_t len, const uint8_t key[4]);

/* Writes the header of a final, unmasked frame with a payload of `len` bytes to `out`. Both
 * functions return its size: 2, 4 or 10 bytes. */
size_t ws_header(uint8_t out[10], enum ws_opcode opcode, uint64_t len);
size_t ws_header_size(uint64_t len);

/* The same for a client, with the mask bit and the key: 6, 8 or 14 bytes. The caller masks the
 * payload. */
size_t ws_header_masked(uint8_t out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t len,
                        const uint8_t key[4]);

/* Writes an unmasked close frame; a reason that is too long is cut between two code points. Returns
 * the size. Code 1005 must not be sent (§7.4.1): it produces a close frame without a payload, so
 * that a peer's close can be answered with the code that was received. */
size_t ws_close_frame(uint8_t out[WS_CLOSE_FRAME_MAX], uint16_t code, const char *reason,
                      size_t reason_len);

#endif
