/*
 * Helpers for the tests of the WebSocket receiver. The result of an input is written as one line of
 * text, the transcript, so that a case is a pair of strings and every way to cut its input must
 * give the same transcript:
 *
 *   T(48656c6c6f)  a text message        B(...)  a binary one       i[..]  a ping   o[..]  a pong
 *   c1000[..]      a close, its code and reason  !1002  failed with that close code
 *
 * A control frame between two fragments is written at its place: T(4865i[]6c6c6f).
 */
#ifndef WSPUSHD_TESTS_WS_TRANSCRIPT_H
#define WSPUSHD_TESTS_WS_TRANSCRIPT_H

#include "tests/unit/guard.h"

#include <stdio.h>

#include "proto/ws.h"

enum { WIRE_MAX = 400000, TRANSCRIPT_MAX = 2 * WIRE_MAX };

static const struct ws_limits server = {.max_message = 300000, .masked = true};
static const struct ws_limits client = {.max_message = 300000, .masked = false};

/* --- frames on the wire, built without the code under test --- */

struct wire {
    uint8_t *bytes;
    size_t len;
};

static inline struct wire wire_open(void)
{
    return (struct wire){.bytes = test_malloc(WIRE_MAX)};
}

static inline void wire_close(struct wire *wire)
{
    test_free(wire->bytes);
}

static inline void put(struct wire *wire, const void *bytes, size_t len)
{
    assert_true(wire->len + len <= WIRE_MAX);
    if (len > 0)
        memcpy(wire->bytes + wire->len, bytes, len);
    wire->len += len;
}

static inline void put_byte(struct wire *wire, unsigned byte)
{
    put(wire, &(uint8_t){(uint8_t)byte}, 1);
}

/* `first` is FIN, reserved bits and opcode; the key is 0 for a frame without a mask. */
static inline void put_frame(struct wire *wire, unsigned first, const void *payload, size_t len,
                             uint32_t key)
{
    const unsigned mask_bit = key != 0 ? 0x80 : 0;
    put_byte(wire, first);
    const size_t extra = len < 126 ? 0 : len < 0x10000 ? 2 : 8;
    put_byte(wire, mask_bit | (extra == 0 ? (unsigned)len : extra == 2 ? 126 : 127));
    for (size_t i = extra; i-- > 0;)
        put_byte(wire, (unsigned)(len >> 8 * i));
    const uint8_t keys[4] = {(uint8_t)(key >> 24), (uint8_t)(key >> 16), (uint8_t)(key >> 8),
                             (uint8_t)key};
    if (key != 0)
        put(wire, keys, 4);
    for (size_t i = 0; i < len; i++)
        put_byte(wire, ((const uint8_t *)payload)[i] ^ keys[i % 4]);
}

/* --- the transcript --- */

struct session {
    struct ws_rx rx;
    struct ws_limits limits;
    char *text;
    size_t len;
    bool in_message;
    bool failed;
    const char *expected;
};

static inline void say(struct session *session, const char *text)
{
    const size_t len = strlen(text);
    assert_true(session->len + len < TRANSCRIPT_MAX);
    memcpy(session->text + session->len, text, len + 1);
    session->len += len;
}

static inline void say_hex(struct session *session, const uint8_t *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    assert_true(session->len + 2 * len < TRANSCRIPT_MAX);
    for (size_t i = 0; i < len; i++) {
        session->text[session->len++] = digits[data[i] >> 4];
        session->text[session->len++] = digits[data[i] & 15];
    }
    session->text[session->len] = '\0';
}

static inline void say_data(struct session *session, const struct ws_event *event)
{
    assert_true(event->len > 0 || event->last);
    assert_int_equal(event->first, !session->in_message);
    assert_true(event->opcode == WS_TEXT || event->opcode == WS_BINARY);
    if (event->first)
        say(session, event->opcode == WS_TEXT ? "T(" : "B(");
    say_hex(session, event->data, event->len);
    if (event->last)
        say(session, ")");
    session->in_message = !event->last;
}

static inline void say_control(struct session *session, const struct ws_event *event)
{
    const uint8_t *data = event->data;
    size_t len = event->len;
    char head[16] = "i[";
    if (event->opcode == WS_PONG) {
        head[0] = 'o';
    } else if (event->opcode == WS_CLOSE) {
        snprintf(head, sizeof(head), "c%u[", event->close_code);
        data += len >= 2 ? 2 : 0;
        len -= len >= 2 ? 2 : 0;
    } else {
        assert_int_equal(event->opcode, WS_PING);
    }
    say(session, head);
    say_hex(session, data, len);
    say(session, "]");
}

/* What came before a failure depends on how far the pieces reached, so only the code is kept. */
static inline void say_failure(struct session *session, ssize_t error)
{
    char text[24];
    snprintf(text, sizeof(text), "!%zd", -error);
    session->len = 0;
    session->failed = true;
    say(session, text);
}

static inline void session_begin(void *context)
{
    struct session *const session = context;
    session->rx = (struct ws_rx){0};
    session->len = 0;
    session->text[0] = '\0';
    session->in_message = session->failed = false;
}

static inline void session_feed(void *context, uint8_t *piece, size_t len)
{
    struct session *const session = context;
    while (len > 0 && !session->failed) {
        struct ws_event event;
        const ssize_t used = ws_rx_next(&session->rx, &session->limits, piece, len, &event);
        if (used < 0) {
            say_failure(session, used);
            return;
        }
        assert_in_range(used, 1, len);
        if (event.kind == WS_EVENT_DATA)
            say_data(session, &event);
        else if (event.kind == WS_EVENT_CONTROL)
            say_control(session, &event);
        else
            assert_int_equal(used, len);
        piece += used;
        len -= (size_t)used;
    }
}

static inline void session_end(void *context)
{
    const struct session *const session = context;
    assert_string_equal(session->text, session->expected);
}

static inline struct session session_open(struct ws_limits limits)
{
    struct session session = {.limits = limits, .text = test_malloc(TRANSCRIPT_MAX)};
    return session;
}

static inline void session_close(struct session *session)
{
    test_free(session->text);
}

/* Feeds the wire in every way and compares each transcript with `expected`. */
static inline void expect(struct ws_limits limits, const void *bytes, size_t len,
                          const char *expected)
{
    struct session session = session_open(limits);
    session.expected = expected;
    const struct guard_feeder feeder = {session_begin, session_feed, session_end, &session};
    guard_feed_all_ways(&feeder, bytes, len);
    session_close(&session);
}

static inline void expect_wire(struct ws_limits limits, struct wire *wire, const char *expected)
{
    expect(limits, wire->bytes, wire->len, expected);
    wire->len = 0;
}

#define BYTES(literal) literal, sizeof(literal) - 1

#endif
