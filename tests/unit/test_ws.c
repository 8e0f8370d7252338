/* The WebSocket receiver: the examples of RFC 6455, each of its rules kept and broken, and every
 * input in every cut. */
#include "tests/unit/ws_transcript.h"

static void rfc_6455_examples(void **state)
{
    (void)state;
    /* §5.7, in its order */
    expect(client, BYTES("\x81\x05\x48\x65\x6c\x6c\x6f"), "T(48656c6c6f)");
    expect(server, BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "T(48656c6c6f)");
    expect(client, BYTES("\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"), "T(48656c6c6f)");
    expect(client, BYTES("\x89\x05\x48\x65\x6c\x6c\x6f"), "i[48656c6c6f]");
    expect(server, BYTES("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "o[48656c6c6f]");

    struct session session = session_open(client);
    struct ws_event event;
    static uint8_t large[10 + 65536] = {0x82, 0x7e, 0x01, 0x00};
    assert_int_equal(ws_rx_next(&session.rx, &client, large, 4 + 256, &event), 4 + 256);
    assert_true(event.first && event.last && event.len == 256 && event.data == large + 4);
    memcpy(large, "\x82\x7f\0\0\0\0\0\1\0\0", 10);
    assert_int_equal(ws_rx_next(&session.rx, &client, large, sizeof(large), &event), sizeof(large));
    assert_true(event.first && event.last && event.len == 65536 && event.data == large + 10);
    session_close(&session);
}

static void messages_and_controls_in_every_cut(void **state)
{
    (void)state;
    struct wire wire = wire_open();
    put_frame(&wire, 0x82, "", 0, 0x01020304);
    put_frame(&wire, 0x81, "", 0, 0xffffffff);
    expect_wire(server, &wire, "B()T()");

    /* Controls between the fragments, also within a code point (U+20AC) and empty fragments. */
    put_frame(&wire, 0x01, "a\xe2", 2, 0x11223344);
    put_frame(&wire, 0x89, "ping", 4, 0x55667788);
    put_frame(&wire, 0x00, "", 0, 0x99aabbcc);
    put_frame(&wire, 0x00, "\x82", 1, 0x01010101);
    put_frame(&wire, 0x8a, "", 0, 0x02020202);
    put_frame(&wire, 0x80, "\xac!", 2, 0x0a0b0c0d);
    put_frame(&wire, 0x82, "\xff\x00", 2, 0x12345678);
    put_frame(&wire, 0x88, "\x03\xe8gone", 6, 0x87654321);
    expect_wire(server, &wire, "T(61e2i[70696e67]82o[]ac21)B(ff00)c1000[676f6e65]");

    /* A message may begin and end with empty fragments, or have nothing else. */
    put_frame(&wire, 0x02, "", 0, 7);
    put_frame(&wire, 0x00, "x", 1, 7);
    put_frame(&wire, 0x80, "", 0, 7);
    put_frame(&wire, 0x01, "", 0, 7);
    put_frame(&wire, 0x80, "", 0, 7);
    expect_wire(server, &wire, "B(78)T()");
    wire_close(&wire);
}

static void every_length_form(void **state)
{
    static const size_t lengths[] = {1, 125, 126, 127, 255, 256, 65535, 65536, 65537};
    (void)state;
    struct wire wire = wire_open();
    uint8_t *const payload = test_calloc(65537, 1);
    for (size_t i = 0; i < 65537; i++)
        payload[i] = (uint8_t)(i * 7);
    struct session session = session_open(server), plain = session_open(server);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        session_begin(&plain);
        say(&plain, "B(");
        say_hex(&plain, payload, lengths[i]);
        say(&plain, ")");
        session.expected = plain.text;
        const struct guard_feeder feeder = {session_begin, session_feed, session_end, &session};
        wire.len = 0;
        put_frame(&wire, 0x82, payload, lengths[i], 0xa1b2c3d4);
        static const size_t pieces[] = {1, 2, 3, 5, 7, 8, 64, 4096, WIRE_MAX};
        for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
            guard_feed_pieces(&feeder, wire.bytes, wire.len, pieces[p]);
        if (lengths[i] <= 256)
            guard_feed_splits(&feeder, wire.bytes, wire.len);
    }
    session_close(&session);
    session_close(&plain);
    test_free(payload);
    wire_close(&wire);
}

/* All pairs of first bytes, against §5.2 and §5.5 in a different formulation. */
static void every_start_of_a_frame(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        for (int masked = 0; masked < 2; masked++) {
            for (int open = 0; open < 2; open++) {
                struct ws_limits limits = {.max_message = 1000, .masked = masked == 1};
                struct ws_rx rx = {.message_op = open == 1 ? WS_BINARY : 0};
                uint8_t bytes[2] = {(uint8_t)(pair >> 8), (uint8_t)pair};
                struct ws_event event;
                const ssize_t used = ws_rx_next(&rx, &limits, bytes, 2, &event);

                bool fine = (bytes[1] >> 7) == masked;
                switch (bytes[0]) {
                case 0x00:
                case 0x80:
                    fine = fine && open == 1;
                    break;
                case 0x01:
                case 0x02:
                case 0x81:
                case 0x82:
                    fine = fine && open == 0;
                    break;
                case 0x88:
                case 0x89:
                case 0x8a:
                    fine = fine && (bytes[1] & 0x7f) <= 125;
                    break;
                default:
                    fine = false;
                }
                assert_int_equal(used, fine ? 2 : -1002);
            }
        }
    }
}

static void framing_errors_in_every_cut(void **state)
{
    (void)state;
    struct wire wire = wire_open();
    /* §5.4: fragments out of place, also after a message that went well */
    put_frame(&wire, 0x81, "ok", 2, 5);
    put_frame(&wire, 0x80, "x", 1, 5);
    expect_wire(server, &wire, "!1002");
    put_frame(&wire, 0x01, "a", 1, 5);
    put_frame(&wire, 0x81, "b", 1, 5);
    expect_wire(server, &wire, "!1002");
    /* §5.5: a control frame in fragments, and a long one */
    put_frame(&wire, 0x09, "a", 1, 5);
    expect_wire(server, &wire, "!1002");
    uint8_t large[126] = {0};
    put_frame(&wire, 0x89, large, 125, 5);
    put_frame(&wire, 0x89, large, 126, 5);
    expect_wire(server, &wire, "!1002");
    /* §5.1: a client masks, a server does not */
    put_frame(&wire, 0x81, "a", 1, 0);
    expect_wire(server, &wire, "!1002");
    put_frame(&wire, 0x81, "a", 1, 5);
    expect_wire(client, &wire, "!1002");
    wire_close(&wire);

    /* §5.2: the length in its shortest form, and its top bit 0; the bytes end with the length, so
     * that the error comes before the key */
    expect(server, BYTES("\x82\xfe\x00\x7d"), "!1002");
    expect(server, BYTES("\x82\xff\0\0\0\0\0\0\0\x05"), "!1002");
    expect(server, BYTES("\x82\xff\0\0\0\0\0\0\xff\xff"), "!1002");
    expect(server, BYTES("\x82\xff\x80\0\0\0\0\0\0\0"), "!1002");
    expect(server, BYTES("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "!1002");
    expect(client, BYTES("\x82\x7e\x00\x7d"), "!1002");
    expect(client, BYTES("\x82\x7f\0\0\0\0\0\0\xff\xff"), "!1002");
}

static void too_big_is_known_from_the_header(void **state)
{
    (void)state;
    const struct ws_limits ten = {.max_message = 10, .masked = true};
    struct wire wire = wire_open();
    put_frame(&wire, 0x82, "0123456789", 10, 9);
    expect_wire(ten, &wire, "B(30313233343536373839)");
    put_frame(&wire, 0x02, "01234", 5, 9);
    put_frame(&wire, 0x89, "not counted", 11, 9);
    put_frame(&wire, 0x00, "5678", 4, 9);
    put_frame(&wire, 0x80, "9", 1, 9);
    put_frame(&wire, 0x82, "0123456789", 10, 9);
    expect_wire(ten, &wire,
                "B(3031323334i[6e6f7420636f756e746564]3536373839)B(30313233343536373839)");

    /* One byte more; the input ends with the length. */
    expect(ten, BYTES("\x82\x8b"), "!1009");
    expect(ten, BYTES("\x82\xfe\x01\x00"), "!1009");
    put_frame(&wire, 0x02, "01234", 5, 9);
    put(&wire, BYTES("\x80\x86"));
    expect_wire(ten, &wire, "!1009");

    /* A sum that would overflow 63 and 64 bits. */
    const struct ws_limits all = {.max_message = UINT64_MAX, .masked = true};
    put_frame(&wire, 0x02, "0", 1, 9);
    put(&wire, BYTES("\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff"));
    expect_wire(ten, &wire, "!1009");
    struct ws_rx rx = {.message_op = WS_BINARY, .message = UINT64_MAX - 5};
    struct ws_event event;
    uint8_t six[] = {0x80, 0x86};
    assert_int_equal(ws_rx_next(&rx, &all, six, 2, &event), -1009);
    /* A limit that was lowered in the middle of a message. */
    rx = (struct ws_rx){.message_op = WS_BINARY, .message = 100};
    uint8_t one[] = {0x80, 0x81};
    assert_int_equal(ws_rx_next(&rx, &ten, one, 2, &event), -1009);
    wire_close(&wire);
}

static void close_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 0x10000; code++) {
        const bool fine =
            (code >= 3000 && code < 5000) ||
            (code >= 1000 && code < 1015 && code != 1004 && code != 1005 && code != 1006);
        uint8_t frame[] = {0x88, 2, (uint8_t)(code >> 8), (uint8_t)code};
        struct ws_rx rx = {0};
        struct ws_event event;
        assert_int_equal(ws_rx_next(&rx, &client, frame, 4, &event), fine ? 4 : -1002);
        assert_true(!fine || (event.kind == WS_EVENT_CONTROL && event.close_code == code));
    }
}

static void close_payloads(void **state)
{
    (void)state;
    struct wire wire = wire_open();
    put_frame(&wire, 0x88, "", 0, 3);
    expect_wire(server, &wire, "c1005[]");
    put_frame(&wire, 0x88, "\x03", 1, 3);
    expect_wire(server, &wire, "!1002");
    put_frame(&wire, 0x88, "\x0f\xa0\xe2\x82\xac", 5, 3);
    expect_wire(server, &wire, "c4000[e282ac]");
    put_frame(&wire, 0x88, "\x03\xe8\xe2\x82", 4, 3);
    expect_wire(server, &wire, "!1007");
    put_frame(&wire, 0x88, "\x03\xe8\xff", 3, 3);
    expect_wire(server, &wire, "!1007");
    char longest[125] = "\x03\xe9";
    memset(longest + 2, 'r', 123);
    put_frame(&wire, 0x88, longest, 125, 3);
    char expected[8 + 2 * 123 + 1] = "c1001[";
    for (size_t i = 0; i < 123; i++)
        memcpy(expected + 6 + 2 * i, "72", 2);
    memcpy(expected + 6 + 246, "]", 2);
    expect_wire(server, &wire, expected);
    wire_close(&wire);
}

static void text_must_be_utf8(void **state)
{
    (void)state;
    struct wire wire = wire_open();
    put_frame(&wire, 0x81, "\xce\xba\xed\xa0\x80", 5, 3);
    expect_wire(server, &wire, "!1007");
    put_frame(&wire, 0x81, "half \xe2\x82", 7, 3);
    expect_wire(server, &wire, "!1007");
    put_frame(&wire, 0x01, "\xe2", 1, 3);
    put_frame(&wire, 0x80, "\x82", 1, 3);
    expect_wire(server, &wire, "!1007");
    put_frame(&wire, 0x01, "\xe2", 1, 3);
    put_frame(&wire, 0x00, "", 0, 3);
    put_frame(&wire, 0x80, "", 0, 3);
    expect_wire(server, &wire, "!1007");
    /* A message does not inherit the state of the one before; binary is not checked. */
    put_frame(&wire, 0x82, "\xe2\xff", 2, 3);
    put_frame(&wire, 0x81, "\xe2\x82\xac", 3, 3);
    expect_wire(server, &wire, "B(e2ff)T(e282ac)");

    /* Refused with the byte, not with the message's end. */
    put_frame(&wire, 0x01, "fine \xff and more", 15, 3);
    struct session session = session_open(server);
    session_begin(&session);
    session_feed(&session, wire.bytes, 6 + 5);
    assert_false(session.failed);
    session_feed(&session, wire.bytes + 6 + 5, 1);
    assert_string_equal(session.text, "!1007");
    session_close(&session);
    wire_close(&wire);
}

static void idle_means_nothing_to_keep(void **state)
{
    (void)state;
    struct wire wire = wire_open();
    put_frame(&wire, 0x01, "ab", 2, 3);
    put_frame(&wire, 0x89, "cd", 2, 3);
    put_frame(&wire, 0x80, "", 0, 3);
    struct session session = session_open(server);
    session_begin(&session);
    assert_true(ws_rx_idle(&session.rx));
    for (size_t i = 0; i < wire.len; i++) {
        session_feed(&session, wire.bytes + i, 1);
        assert_int_equal(ws_rx_idle(&session.rx), i + 1 == wire.len);
    }
    assert_string_equal(session.text, "T(6162i[6364])");
    wire.len = 0;
    put_frame(&wire, 0x89, "cd", 2, 3);
    for (size_t i = 0; i < wire.len; i++) {
        session_feed(&session, wire.bytes + i, 1);
        assert_int_equal(ws_rx_idle(&session.rx), i + 1 == wire.len);
    }
    /* Its state may be discarded: a new receiver continues where the old one stopped. */
    session.rx = (struct ws_rx){0};
    wire.len = 0;
    put_frame(&wire, 0x82, "z", 1, 3);
    session_feed(&session, wire.bytes, wire.len);
    assert_string_equal(session.text, "T(6162i[6364])i[6364]B(7a)");
    session_close(&session);
    wire_close(&wire);
}

static void events_point_into_the_buffer(void **state)
{
    (void)state;
    struct wire wire = wire_open();
    struct ws_rx rx = {0};
    struct ws_event event;
    put_frame(&wire, 0x81, "whole", 5, 0x01020304);
    put_frame(&wire, 0x89, "ping", 4, 0x01020304);
    assert_int_equal(ws_rx_next(&rx, &server, wire.bytes, wire.len, &event), 11);
    assert_true(event.kind == WS_EVENT_DATA && event.first && event.last);
    assert_ptr_equal(event.data, wire.bytes + 6);
    assert_memory_equal(event.data, "whole", 5);
    assert_int_equal(ws_rx_next(&rx, &server, wire.bytes + 11, 10, &event), 10);
    assert_int_equal(event.kind, WS_EVENT_CONTROL);
    assert_ptr_equal(event.data, wire.bytes + 17);

    wire.len = 0;
    put_frame(&wire, 0x89, "ping", 4, 0x01020304);
    assert_int_equal(ws_rx_next(&rx, &server, wire.bytes, 8, &event), 8);
    assert_int_equal(event.kind, WS_EVENT_NONE);
    assert_int_equal(ws_rx_next(&rx, &server, wire.bytes + 8, 0, &event), 0);
    assert_int_equal(event.kind, WS_EVENT_NONE);
    assert_int_equal(ws_rx_next(&rx, &server, wire.bytes + 8, 2, &event), 2);
    assert_true(event.kind == WS_EVENT_CONTROL && event.len == 4 && event.data == rx.control);
    assert_memory_equal(event.data, "ping", 4);
    wire_close(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_6455_examples),
        cmocka_unit_test(messages_and_controls_in_every_cut),
        cmocka_unit_test(every_length_form),
        cmocka_unit_test(every_start_of_a_frame),
        cmocka_unit_test(framing_errors_in_every_cut),
        cmocka_unit_test(too_big_is_known_from_the_header),
        cmocka_unit_test(close_codes),
        cmocka_unit_test(close_payloads),
        cmocka_unit_test(text_must_be_utf8),
        cmocka_unit_test(idle_means_nothing_to_keep),
        cmocka_unit_test(events_point_into_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
