/* The sending half of the WebSocket codec: masks, headers and close frames, byte for byte, and read
 * back by the receiver. */
#include "tests/unit/guard.h"

#include "proto/ws.h"

static const struct ws_limits client = {.max_message = 1000, .masked = false};

static void mask_at_every_length_and_alignment(void **state)
{
    static const uint8_t key[4] = {0x12, 0x34, 0x56, 0x78};
    (void)state;
    struct guard guard = guard_open(128);
    for (size_t len = 0; len <= 100; len++) {
        /* The end is at the page, so each length has a different alignment, too. */
        uint8_t *const data = guard_room(&guard, len);
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)(i * 3);
        ws_mask(data, len, key);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(data[i], (uint8_t)(i * 3) ^ key[i % 4]);
        assert_int_equal(data[-1], 0);
    }
    guard_close(&guard);
}

static void headers_in_their_shortest_form(void **state)
{
    static const struct {
        uint64_t len;
        size_t size;
        const char *bytes;
    } cases[] = {
        {0, 2, "\x82\x00"},
        {125, 2, "\x82\x7d"},
        {126, 4, "\x82\x7e\x00\x7e"},
        {65535, 4, "\x82\x7e\xff\xff"},
        {65536, 10, "\x82\x7f\0\0\0\0\0\1\0\0"},
        {0x0102030405060708, 10, "\x82\x7f\1\2\3\4\5\6\7\x08"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[WS_HEADER_MAX];
        const size_t size = cases[i].size;
        assert_int_equal(ws_header_size(cases[i].len), size);
        assert_int_equal(ws_header(out, WS_BINARY, cases[i].len), size);
        assert_memory_equal(out, cases[i].bytes, size);

        const uint8_t key[4] = {9, 8, 7, 6};
        assert_int_equal(ws_header_masked(out, WS_BINARY, cases[i].len, key), size + 4);
        assert_int_equal(out[0], 0x82);
        assert_int_equal(out[1], (uint8_t)cases[i].bytes[1] | 0x80);
        assert_memory_equal(out + 2, cases[i].bytes + 2, size - 2);
        assert_memory_equal(out + size, key, 4);
    }
    uint8_t out[10];
    ws_header(out, WS_PONG, 3);
    assert_memory_equal(out, "\x8a\x03", 2);
}

/* Writes a close frame and reads it back as a client; returns the length of its reason. */
static size_t close_round_trip(uint16_t code, const char *reason, size_t reason_len)
{
    struct guard guard = guard_open(WS_CLOSE_FRAME_MAX);
    uint8_t *const out = guard_room(&guard, WS_CLOSE_FRAME_MAX);
    const size_t len = ws_close_frame(out, code, reason, reason_len);
    struct ws_rx rx = {0};
    struct ws_event event;
    assert_int_equal(ws_rx_next(&rx, &client, out, len, &event), len);
    assert_int_equal(event.opcode, WS_CLOSE);
    assert_int_equal(event.close_code, code);
    const size_t text = event.len < 2 ? 0 : event.len - 2;
    if (text > 0)
        assert_memory_equal(event.data + 2, reason, text);
    guard_close(&guard);
    return text;
}

static void close_frames(void **state)
{
    (void)state;
    uint8_t out[WS_CLOSE_FRAME_MAX];
    assert_int_equal(ws_close_frame(out, 1000, "bye", 3), 7);
    assert_memory_equal(out,
                        "\x88\x05\x03\xe8"
                        "bye",
                        7);
    assert_int_equal(ws_close_frame(out, 4008, NULL, 0), 4);
    assert_memory_equal(out, "\x88\x02\x0f\xa8", 4);
    assert_int_equal(ws_close_frame(out, 1005, "never sent", 10), 2);
    assert_memory_equal(out, "\x88\x00", 2);

    char text[200];
    memset(text, 'x', sizeof(text));
    assert_int_equal(close_round_trip(1001, text, 123), 123);
    assert_int_equal(close_round_trip(1001, text, 124), 123);
    for (size_t i = 0; i < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    assert_int_equal(close_round_trip(1001, text, sizeof(text)), 122);
    assert_int_equal(close_round_trip(1001, text, 122), 122);
    for (size_t i = 0; i < sizeof(text); i += 4)
        memcpy(text + i, "\xf0\x9f\x98\x80", 4);
    assert_int_equal(close_round_trip(1001, text, sizeof(text)), 120);
    memset(text, '\x80', sizeof(text));
    ws_close_frame(out, 1000, text, sizeof(text));
    assert_int_equal(out[1], 2);
}

static void close_texts_come_from_the_table(void **state)
{
    (void)state;
    assert_string_equal(ws_close_text(1000), "normal closure");
    assert_string_equal(ws_close_text(4009), "no heartbeat");
    assert_string_equal(ws_close_text(1005), "");
    assert_string_equal(ws_close_text(0), "");
#define EACH_CODE_IS_ALLOWED(name, code, text, reconnect) \
    assert_string_equal(ws_close_text(code), text);       \
    assert_true(sizeof(text) - 1 <= WS_REASON_MAX);       \
    assert_int_equal(close_round_trip(code, text, sizeof(text) - 1), sizeof(text) - 1);
    WS_CLOSE_CODES(EACH_CODE_IS_ALLOWED)
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mask_at_every_length_and_alignment),
        cmocka_unit_test(headers_in_their_shortest_form),
        cmocka_unit_test(close_frames),
        cmocka_unit_test(close_texts_come_from_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
