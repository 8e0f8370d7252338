/*
 * The WebSocket receiver against random conversations: messages in random fragments, under random
 * masks, with pings between them, read in random pieces, are read back unchanged; and noise gives
 * the same result whole and byte by byte.
 */
#include "tests/unit/ws_transcript.h"

/* A message's payload; text is of whole code points. */
static size_t random_payload(uint64_t *random, uint8_t *out, bool text)
{
    static const char *const points[] = {"a",
                                         "z",
                                         " ",
                                         "\xc3\xa9",
                                         "\xe6\x88\x91",
                                         "\xed\x9f\xbf",
                                         "\xf0\x9f\x98\x80",
                                         "\xf4\x8f\xbf\xbf"};
    static const size_t sizes[] = {1, 10, 130, 1000, 70000};
    const size_t size = guard_random_below(random, sizes[guard_random_below(random, 5)]);
    size_t len = 0;
    while (len < size) {
        if (!text) {
            out[len++] = (uint8_t)guard_random(random);
            continue;
        }
        const char *const point = points[guard_random_below(random, 8)];
        memcpy(out + len, point, strlen(point));
        len += strlen(point);
    }
    return len;
}

/* Writes one message in random fragments with pings between them, and the expected transcript. */
static void random_message(uint64_t *random, struct wire *wire, struct session *expected,
                           bool masked)
{
    static uint8_t payload[70008];
    const bool text = guard_random_below(random, 2) == 0;
    const size_t len = random_payload(random, payload, text);
    unsigned opcode = text ? WS_TEXT : WS_BINARY;
    bool said = false;
    for (size_t done = 0;;) {
        const bool last = guard_random_below(random, 3) == 0;
        const size_t piece = last ? len - done : guard_random_below(random, len - done + 1);
        const uint32_t key = masked ? (uint32_t)guard_random(random) | 1 : 0;
        put_frame(wire, (last ? 0x80U : 0) | opcode, payload + done, piece, key);
        if (!said && (piece > 0 || last)) {
            say(expected, text ? "T(" : "B(");
            said = true;
        }
        say_hex(expected, payload + done, piece);
        done += piece;
        opcode = WS_CONTINUATION;
        if (last)
            break;
        if (guard_random_below(random, 2) == 0) {
            const size_t ping = guard_random_below(random, 126);
            put_frame(wire, 0x89, payload, ping < len ? ping : len, key);
            say(expected, "i[");
            say_hex(expected, payload, ping < len ? ping : len);
            say(expected, "]");
        }
    }
    say(expected, ")");
}

static void random_conversations_come_back(void **state)
{
    (void)state;
    uint64_t random = 6455;
    struct wire wire = wire_open();
    struct session session = session_open(server), expected = session_open(server);
    struct guard guard = guard_open(WIRE_MAX);
    for (int round = 0; round < 600; round++) {
        const bool masked = round % 4 != 0;
        session.limits = masked ? server : client;
        session_begin(&session);
        session_begin(&expected);
        wire.len = 0;
        while (wire.len < 3000)
            random_message(&random, &wire, &expected, masked);
        static const size_t reaches[] = {3, 20, 200, 5000, WIRE_MAX};
        const size_t reach = reaches[guard_random_below(&random, 5)];
        for (size_t done = 0, piece; done < wire.len; done += piece) {
            piece = 1 + guard_random_below(&random, reach);
            piece = piece < wire.len - done ? piece : wire.len - done;
            session_feed(&session, guard_put(&guard, wire.bytes + done, piece), piece);
        }
        assert_int_equal(session.len, expected.len);
        assert_memory_equal(session.text, expected.text, expected.len);
        assert_true(ws_rx_idle(&session.rx));
    }
    guard_close(&guard);
    session_close(&session);
    session_close(&expected);
    wire_close(&wire);
}

/* Random input, whole and byte by byte, is refused for the same reason or read alike. */
static void noise_is_read_alike_in_pieces(void **state)
{
    (void)state;
    uint64_t random = 1007;
    struct session session = session_open(server), whole = session_open(server);
    struct guard guard = guard_open(256);
    for (int round = 0; round < 30000; round++) {
        struct wire wire = {(uint8_t[256]){0}, 0};
        while (wire.len < 200) {
            static const uint8_t firsts[] = {0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0x00};
            uint8_t payload[24];
            const size_t len = guard_random_below(&random, sizeof(payload));
            for (size_t i = 0; i < len; i++)
                payload[i] = (uint8_t)(guard_random(&random) & 0x7f);
            put_frame(&wire, firsts[guard_random_below(&random, sizeof(firsts))], payload, len,
                      (uint32_t)guard_random(&random) | 1);
        }
        wire.bytes[guard_random_below(&random, wire.len)] ^= (uint8_t)guard_random(&random);
        session_begin(&whole);
        session_begin(&session);
        session_feed(&whole, guard_put(&guard, wire.bytes, wire.len), wire.len);
        for (size_t i = 0; i < wire.len; i++)
            session_feed(&session, guard_put(&guard, wire.bytes + i, 1), 1);
        assert_string_equal(session.text, whole.text);
    }
    guard_close(&guard);
    session_close(&session);
    session_close(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_conversations_come_back),
        cmocka_unit_test(noise_is_read_alike_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
