/*
 * Pushes: every form of payload, every option, and for each error the inputs that must cause it.
 * Input and scratch both end at an unreadable page, and the scratch has the minimum size from the
 * header.
 */
#include "proto/envelope.h"

#include <stdio.h>

#include "tests/unit/guard.h"

enum { ROOM = 16384 };

static struct guard input, scratch;

static int open_pages(void **state)
{
    (void)state;
    input = guard_open(ROOM);
    scratch = guard_open(ROOM);
    return 0;
}

static int close_pages(void **state)
{
    (void)state;
    guard_close(&input);
    guard_close(&scratch);
    return 0;
}

/* A string literal with its length, since some hold NUL bytes. */
#define BYTES(literal) (literal), sizeof(literal) - 1

static enum push_error decode(struct push *push, const void *bytes, size_t len)
{
    /* Fills the result so that no field of the last push remains. */
    memset(push, 0xa5, sizeof *push);
    return push_decode(push, guard_put(&input, bytes, len), len, guard_room(&scratch, len));
}

static enum push_error decode_text(struct push *push, const char *text)
{
    return decode(push, text, strlen(text));
}

static void assert_payload(const struct push *push, enum payload_form form, const void *bytes,
                           size_t len)
{
    assert_int_equal(push->message.form, form);
    assert_int_equal(push->message.len, len);
    assert_memory_equal(push->message.payload, bytes, len);
}

static void assert_option(const struct json_value *value, const char *text)
{
    assert_int_equal(value->type, JSON_TYPE_STRING);
    assert_true(json_string_is(value, text));
}

static void assert_no_options(const struct push *push)
{
    assert_int_equal(push->conn.type, JSON_TYPE_NONE);
    assert_int_equal(push->except.type, JSON_TYPE_NONE);
    assert_int_equal(push->id.type, JSON_TYPE_NONE);
    assert_int_equal(push->key.type, JSON_TYPE_NONE);
    assert_int_equal(push->users.type, JSON_TYPE_NONE);
    assert_int_equal(push->ttl, 0);
}

static void decodes_raw_frames(void **state)
{
    (void)state;
    struct push push;
    assert_int_equal(decode(&push, BYTES("\0\0\0n\xe6\x88\x91")), PUSH_OK);
    assert_int_equal(push.message.op, 110);
    assert_payload(&push, PAYLOAD_UNKNOWN, BYTES("\xe6\x88\x91"));
    assert_no_options(&push);

    assert_int_equal(decode(&push, BYTES("\0\0\0\0")), PUSH_OK);
    assert_int_equal(push.message.op, 0);
    assert_int_equal(push.message.len, 0);

    assert_int_equal(decode(&push, BYTES("\0\xff\xff\xff{}")), PUSH_OK);
    assert_int_equal(push.message.op, OP_APPLICATION_MAX);
    assert_payload(&push, PAYLOAD_UNKNOWN, BYTES("{}"));

    for (size_t len = 0; len < OPCODE_SIZE; len++)
        assert_int_equal(decode(&push, "\0\0\0n", len), PUSH_SHORT);
    assert_int_equal(decode(&push, BYTES("\1\0\0\0")), PUSH_BAD_OP);
    assert_int_equal(decode(&push, BYTES("\xff\xff\xff\xff")), PUSH_BAD_OP);
    /* Not an envelope: its first byte is not a brace. */
    assert_int_equal(decode(&push, BYTES(" {\"op\":110}")), PUSH_BAD_OP);
    assert_int_equal(decode(&push, BYTES("[{}]")), PUSH_BAD_OP);
    assert_int_equal(decode(&push, BYTES("hello")), PUSH_BAD_OP);
}

static void decodes_payloads(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        uint32_t op;
        enum payload_form form;
        const char *payload;
        size_t len;
    } cases[] = {
        {"{\"op\":110}", 110, PAYLOAD_UNKNOWN, BYTES("")},
        {"{\"op\":0,\"data\":{\"a\": 1 }}", 0, PAYLOAD_JSON, BYTES("{\"a\": 1 }")},
        {"{\"op\":16777215,\"data\":null}", 16777215, PAYLOAD_JSON, BYTES("null")},
        {"{\"op\":1,\"data\":\"\\u0000\"}", 1, PAYLOAD_JSON, BYTES("\"\\u0000\"")},
        {"{\"op\":1,\"text\":\"hi\"}", 1, PAYLOAD_TEXT, BYTES("hi")},
        {"{\"op\":1,\"text\":\"\"}", 1, PAYLOAD_TEXT, BYTES("")},
        {"{\"op\":1,\"text\":\"\\u0000\\ud83d\\ude00\"}", 1, PAYLOAD_TEXT,
         BYTES("\0\xf0\x9f\x98\x80")},
        {"{\"op\":1,\"b64\":\"AAH/\"}", 1, PAYLOAD_BINARY, BYTES("\0\x01\xff")},
        {"{\"op\":1,\"b64\":\"AAH\\/\"}", 1, PAYLOAD_BINARY, BYTES("\0\x01\xff")},
        {"{\"op\":1,\"data\":1,\"data\":[2]}", 1, PAYLOAD_JSON, BYTES("[2]")},
        {"{\"op\":9,\"op\":1,\"zzz\":{\"op\":5,\"text\":\"no\"}}", 1, PAYLOAD_UNKNOWN, BYTES("")},
        {"{\"\\u006f\\u0070\":1,\"\\u0074ext\":\"x\"} \n", 1, PAYLOAD_TEXT, BYTES("x")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct push push;
        if (decode_text(&push, cases[i].json) != PUSH_OK)
            fail_msg("refused: %s", cases[i].json);
        assert_int_equal(push.message.op, cases[i].op);
        assert_payload(&push, cases[i].form, cases[i].payload, cases[i].len);
        assert_no_options(&push);
    }
}

static void decodes_options(void **state)
{
    (void)state;
    struct push push;
    assert_int_equal(decode_text(&push,
                                 "{\"op\":110,\"conn\":\"c1\",\"except\":\"c2\",\"id\":\"m1\","
                                 "\"ttl\":60,\"key\":\"k\\n\",\"users\":[\"1\",\"2\"],"
                                 "\"report\":\"1-2-3-4\","
                                 "\"data\":{}}"),
                     PUSH_OK);
    assert_option(&push.conn, "c1");
    assert_option(&push.except, "c2");
    assert_option(&push.id, "m1");
    assert_option(&push.key, "k\n");
    assert_option(&push.report, "1-2-3-4");
    assert_int_equal(push.ttl, 60);
    assert_int_equal(push.users.type, JSON_TYPE_ARRAY);
    assert_int_equal(push.users.len, strlen("[\"1\",\"2\"]"));
    assert_memory_equal(push.users.at, "[\"1\",\"2\"]", push.users.len);
    assert_payload(&push, PAYLOAD_JSON, BYTES("{}"));

    assert_int_equal(decode_text(&push, "{\"op\":1,\"ttl\":0}"), PUSH_OK);
    assert_int_equal(push.ttl, 0);
    assert_int_equal(decode_text(&push, "{\"op\":1,\"ttl\":4294967295}"), PUSH_OK);
    assert_true(push.ttl == UINT32_MAX);
    assert_int_equal(decode_text(&push, "{\"op\":1,\"id\":7,\"id\":\"\"}"), PUSH_OK);
    assert_option(&push.id, "");
    assert_int_equal(decode_text(&push, "{\"op\":1,\"users\":[ ]}"), PUSH_OK);
    assert_int_equal(push.users.type, JSON_TYPE_ARRAY);
}

static void names_each_error(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum push_error error;
    } cases[] = {
        {"{", PUSH_BAD_JSON},
        {"{}x", PUSH_BAD_JSON},
        {"{\"op\":110", PUSH_BAD_JSON},
        {"{\"op\":110}}", PUSH_BAD_JSON},
        {"{\"op\":110,}", PUSH_BAD_JSON},
        {"{\"op\":0110}", PUSH_BAD_JSON},
        {"{\"op\":1,\"data\":{\"a\"}}", PUSH_BAD_JSON},
        {"{\"op\":1,\"x\":\"\xff\"}", PUSH_BAD_JSON},
        {"{\"op\":1,\"text\":\"\\udc00\"}", PUSH_BAD_JSON},
        /* the whole text is checked before a member is looked at */
        {"{\"op\":\"x\",\"ttl\":-1,]", PUSH_BAD_JSON},
        {"{}", PUSH_NO_OP},
        {"{\"data\":1}", PUSH_NO_OP},
        {"{\"OP\":1}", PUSH_NO_OP},
        {"{\"op\":null}", PUSH_NO_OP},
        {"{\"op\":\"110\"}", PUSH_NO_OP},
        {"{\"op\":1.0}", PUSH_NO_OP},
        {"{\"op\":1e2}", PUSH_NO_OP},
        {"{\"op\":1E2}", PUSH_NO_OP},
        {"{\"op\":[110]}", PUSH_NO_OP},
        {"{\"op\":16777216}", PUSH_BAD_OP},
        {"{\"op\":4294967406}", PUSH_BAD_OP},
        {"{\"op\":18446744073709551726}", PUSH_BAD_OP},
        {"{\"op\":99999999999999999999999999}", PUSH_BAD_OP},
        {"{\"op\":-1}", PUSH_BAD_OP},
        {"{\"op\":1,\"data\":1,\"text\":\"a\"}", PUSH_TWO_PAYLOADS},
        {"{\"op\":1,\"text\":\"a\",\"b64\":\"\"}", PUSH_TWO_PAYLOADS},
        {"{\"op\":1,\"b64\":\"\",\"data\":null}", PUSH_TWO_PAYLOADS},
        {"{\"op\":1,\"data\":1,\"text\":2,\"b64\":3}", PUSH_TWO_PAYLOADS},
        {"{\"op\":1,\"text\":1}", PUSH_BAD_TEXT},
        {"{\"op\":1,\"text\":null}", PUSH_BAD_TEXT},
        {"{\"op\":1,\"text\":{}}", PUSH_BAD_TEXT},
        {"{\"op\":1,\"b64\":1}", PUSH_BAD_BASE64},
        {"{\"op\":1,\"b64\":null}", PUSH_BAD_BASE64},
        {"{\"op\":1,\"b64\":\"A\"}", PUSH_BAD_BASE64},
        {"{\"op\":1,\"b64\":\"AA\"}", PUSH_BAD_BASE64},
        {"{\"op\":1,\"b64\":\"AAH_\"}", PUSH_BAD_BASE64},
        {"{\"op\":1,\"b64\":\"AA\\u0000=\"}", PUSH_BAD_BASE64},
        {"{\"op\":1,\"conn\":1}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"conn\":null}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"except\":[]}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"id\":{}}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"id\":7}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"key\":true}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"ttl\":\"60\"}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"ttl\":-1}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"ttl\":1.5}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"ttl\":null}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"ttl\":4294967296}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"report\":7}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"report\":null}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"report\":\"elsewhere\"}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"report\":\"1-2-3\"}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"report\":\"1-2-3-\\u0034\"}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"users\":\"1\"}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"users\":{}}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"users\":{\"a\":\"b\"}}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"users\":[1]}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"users\":[\"1\",null]}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"users\":[\"1\",[\"2\"]]}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"users\":[\"\"]}", PUSH_BAD_OPTION},
        {"{\"op\":1,\"users\":[\"1\",\"\"]}", PUSH_BAD_OPTION},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct push push;
        const enum push_error error = decode_text(&push, cases[i].json);
        if (error != cases[i].error)
            fail_msg("%s: %s, not %s", cases[i].json, push_error_name(error),
                     push_error_name(cases[i].error));
    }
}

/* A push to one user with a name of `count` times `unit`. */
static enum push_error decode_user(const char *unit, size_t count)
{
    char text[1024];
    char *at = stpcpy(text, "{\"op\":1,\"users\":[\"");
    while (count-- > 0)
        at = stpcpy(at, unit);
    strcpy(at, "\"]}");
    struct push push;
    return decode_text(&push, text);
}

static void measures_users_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *unit;
        size_t bytes;
    } units[] = {{"a", 1},       {"\\u0041", 1},      {"\\n", 1},     {"\xc3\xa9", 2},
                 {"\\u00e9", 2}, {"\xe6\x88\x91", 3}, {"\\u6211", 3}, {"\\ud83d\\ude00", 4}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        const size_t most = 63 / units[i].bytes;
        for (size_t count = 1; count <= most; count++)
            assert_int_equal(decode_user(units[i].unit, count), PUSH_OK);
        assert_int_equal(decode_user(units[i].unit, most + 1), PUSH_BAD_OPTION);
        assert_int_equal(decode_user(units[i].unit, 80), PUSH_BAD_OPTION);
    }
}

static enum push_error decode_key(const char *unit, size_t count)
{
    char text[2048], *at = stpcpy(text, "{\"op\":1,\"key\":\"");
    while (count-- > 0)
        at = stpcpy(at, unit);
    strcpy(at, "\"}");
    struct push push;
    return decode_text(&push, text);
}

static void measures_keys_decoded(void **state)
{
    (void)state;
    assert_int_equal(decode_key("", 1), PUSH_BAD_OPTION);
    assert_int_equal(decode_key("a", PUSH_KEY_MAX), PUSH_OK);
    assert_int_equal(decode_key("a", PUSH_KEY_MAX + 1), PUSH_BAD_OPTION);
    assert_int_equal(decode_key("\\u0041", PUSH_KEY_MAX), PUSH_OK);
    assert_int_equal(decode_key("\\u0041", PUSH_KEY_MAX + 1), PUSH_BAD_OPTION);
    assert_int_equal(decode_key("\\u6211", PUSH_KEY_MAX / 3 + 1), PUSH_BAD_OPTION);
}

/* The id identifies the malformed push in the log. */
static void tells_the_id_of_a_malformed_push(void **state)
{
    (void)state;
    struct push push;
    assert_int_equal(decode_text(&push, "{\"id\":\"m1\"}"), PUSH_NO_OP);
    assert_option(&push.id, "m1");
    assert_int_equal(decode_text(&push, "{\"op\":1,\"conn\":1,\"id\":\"m2\"}"), PUSH_BAD_OPTION);
    assert_option(&push.id, "m2");
    assert_int_equal(decode_text(&push, "{\"id\":\"m3\","), PUSH_BAD_JSON);
    assert_int_equal(push.id.type, JSON_TYPE_NONE);
}

static void errors_have_names_and_texts(void **state)
{
    (void)state;
    assert_string_equal(push_error_name(PUSH_OK), "ok");
    assert_string_equal(push_error_name(PUSH_SHORT), "short");
    assert_string_equal(push_error_name(PUSH_BAD_OPTION), "bad_option");
    assert_string_equal(push_error_text(PUSH_TWO_PAYLOADS), "more than one of data, text, b64");
    for (enum push_error error = PUSH_OK; error < PUSH_ERROR_END; error++)
        assert_true(*push_error_name(error) != '\0' && *push_error_text(error) != '\0');
}

static void check_prefix(void *context, uint8_t *prefix, size_t len)
{
    struct push push;
    const size_t whole = *(const size_t *)context;
    const enum push_error error = push_decode(&push, prefix, len, guard_room(&scratch, len));
    assert_int_equal(error, len == whole ? PUSH_OK : len == 0 ? PUSH_SHORT : PUSH_BAD_JSON);
}

static void needs_every_byte(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{\"op\":110,\"data\":{\"a\":[true,1e5,\"\\u00e9\"]},\"id\":\"m\",\"users\":["
        "\"\xe6\x88\x91\"]}",
        "{\"ttl\":5,\"text\":\"\\ud83d\\ude00 and more\",\"op\":110}",
        "{\"b64\":\"AAECAwQFBgcICQ==\",\"key\":\"k\",\"op\":110}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = strlen(cases[i]);
        guard_prefixes(check_prefix, &len, cases[i], len);
    }
}

/* Random input: no read or write beyond the pages, and the result is as the header promises. */
static void survives_damage(void **state)
{
    (void)state;
    static const char whole[] = "{\"op\":110,\"text\":\"a\\u00e9\\n\",\"id\":\"m1\",\"ttl\":600,"
                                "\"users\":[\"1\",\"\\u0041\"],\"x\":[1,{}],\"\\u0078\":\"AA==\"}";
    uint64_t random = 99;
    size_t seen[PUSH_ERROR_END] = {0};
    for (int round = 0; round < 50000; round++) {
        char text[sizeof whole];
        memcpy(text, whole, sizeof whole);
        for (size_t n = guard_random_below(&random, 3); n > 0; n--) {
            /* A byte from elsewhere in the text makes more texts that are nearly valid. */
            const size_t to = 1 + guard_random_below(&random, sizeof whole - 2);
            text[to] = guard_random_below(&random, 4) == 0
                           ? (char)guard_random(&random)
                           : whole[guard_random_below(&random, sizeof whole - 1)];
        }
        struct push push;
        const enum push_error error = decode(&push, text, sizeof whole - 1);
        seen[error]++;
        if (error != PUSH_OK)
            continue;
        assert_true(push.message.op <= OP_APPLICATION_MAX);
        assert_true(push.message.len <= sizeof whole);
        assert_true(push.id.type == JSON_TYPE_NONE || push.id.type == JSON_TYPE_STRING);
    }
    assert_true(seen[PUSH_OK] > 1000 && seen[PUSH_BAD_JSON] > 1000);
    assert_true(seen[PUSH_NO_OP] > 0 && seen[PUSH_BAD_OPTION] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_raw_frames),
        cmocka_unit_test(decodes_payloads),
        cmocka_unit_test(decodes_options),
        cmocka_unit_test(names_each_error),
        cmocka_unit_test(measures_users_decoded),
        cmocka_unit_test(errors_have_names_and_texts),
        cmocka_unit_test(needs_every_byte),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(measures_keys_decoded),
        cmocka_unit_test(tells_the_id_of_a_malformed_push),
    };
    return cmocka_run_group_tests(tests, open_pages, close_pages);
}
