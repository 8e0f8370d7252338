/*
 * Conversion of messages between binary and JSON: examples of every form, everything that must be
 * refused, and random payloads in both directions.
 */
#include "proto/message.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"
#include "proto/utf8.h"
#include "tests/unit/guard.h"

enum { ROOM = 65536 };

static struct guard input, output, scratch;

static int open_pages(void **state)
{
    (void)state;
    input = guard_open(ROOM);
    output = guard_open(ROOM);
    scratch = guard_open(ROOM);
    return 0;
}

static int close_pages(void **state)
{
    (void)state;
    guard_close(&input);
    guard_close(&output);
    guard_close(&scratch);
    return 0;
}

/* A string literal with its length, since some hold NUL bytes. */
#define BYTES(literal) (literal), sizeof(literal) - 1

static void opcodes_are_big_endian(void **state)
{
    (void)state;
    uint8_t bytes[OPCODE_SIZE];
    opcode_put(bytes, 0x01020304);
    assert_memory_equal(bytes, "\x01\x02\x03\x04", OPCODE_SIZE);
    assert_int_equal(opcode_get(bytes), 0x01020304);
    opcode_put(bytes, UINT32_MAX);
    assert_true(opcode_get(bytes) == UINT32_MAX);
    opcode_put(bytes, 110);
    assert_memory_equal(bytes, "\0\0\0n", OPCODE_SIZE);
}

static void names_come_from_the_tables(void **state)
{
    (void)state;
    assert_string_equal(system_opcode_name(0), "ERROR");
    assert_string_equal(system_opcode_name(1), "HELLO");
    assert_string_equal(system_opcode_name(11), "BYE");
    for (uint32_t op = 0; op <= OP_BYE; op++)
        assert_non_null(system_opcode_name(op));
    assert_null(system_opcode_name(OP_BYE + 1));
    assert_null(system_opcode_name(OP_APPLICATION_MIN));
    assert_null(system_opcode_name(UINT32_MAX));
    assert_string_equal(error_code_name(ERROR_SHORT_MESSAGE), "short_message");
    assert_string_equal(error_code_text(ERROR_SHORT_MESSAGE),
                        "a message must start with a 4-byte opcode");
    assert_string_equal(error_code_name(ERROR_BAD_TOPIC), "bad_topic");
}

static void reads_binary(void **state)
{
    (void)state;
    static const char text[] = "\0\0\0n\xe6\x88\x91";
    struct message message;
    for (size_t len = 0; len < sizeof text; len++) {
        const uint8_t *at = guard_put(&input, text, len);
        assert_int_equal(message_from_binary(&message, at, len), len >= OPCODE_SIZE);
        if (len < OPCODE_SIZE)
            continue;
        assert_int_equal(message.op, 110);
        assert_int_equal(message.form, PAYLOAD_UNKNOWN);
        assert_int_equal(message.len, len - OPCODE_SIZE);
        assert_ptr_equal(message.payload, at + OPCODE_SIZE);
    }
    assert_true(message_from_binary(&message, (const uint8_t *)"\xff\xff\xff\xff", 4));
    assert_true(message.op == UINT32_MAX);
}

/* --- from JSON --- */

static int from_json(struct message *message, const void *text, size_t len)
{
    return message_from_json(message, (const char *)guard_put(&input, text, len), len,
                             guard_room(&scratch, len));
}

static void reads_json(void **state)
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
        {"{\"op\":0}", 0, PAYLOAD_UNKNOWN, BYTES("")},
        {"{\"op\":16777215}", 16777215, PAYLOAD_UNKNOWN, BYTES("")},
        {" { \"op\" : 110 , \"data\" : { \"a\" : 1 } } ", 110, PAYLOAD_JSON,
         BYTES("{ \"a\" : 1 }")},
        {"{\"data\":[1,2],\"op\":7}", 7, PAYLOAD_JSON, BYTES("[1,2]")},
        {"{\"op\":7,\"data\":null}", 7, PAYLOAD_JSON, BYTES("null")},
        {"{\"op\":7,\"data\":\"a\\nb\"}", 7, PAYLOAD_JSON, BYTES("\"a\\nb\"")},
        {"{\"op\":7,\"text\":\"hello\"}", 7, PAYLOAD_TEXT, BYTES("hello")},
        {"{\"op\":7,\"text\":\"\"}", 7, PAYLOAD_TEXT, BYTES("")},
        {"{\"op\":7,\"text\":\"{}\"}", 7, PAYLOAD_TEXT, BYTES("{}")},
        {"{\"op\":7,\"text\":\"a\\n\\u0000\\u00e9\"}", 7, PAYLOAD_TEXT, BYTES("a\n\0\xc3\xa9")},
        {"{\"op\":7,\"b64\":\"\"}", 7, PAYLOAD_BINARY, BYTES("")},
        {"{\"op\":7,\"b64\":\"/w==\"}", 7, PAYLOAD_BINARY, BYTES("\xff")},
        {"{\"op\":7,\"b64\":\"\\/+8\\u003d\"}", 7, PAYLOAD_BINARY, BYTES("\xff\xef")},
        /* unknown members with any value, among them options of an envelope */
        {"{\"x\":[{}],\"op\":7,\"id\":5,\"users\":0,\"ttl\":\"\"}", 7, PAYLOAD_UNKNOWN, BYTES("")},
        {"{\"op\":7,\"Data\":1,\"dat\":1,\"datas\":1,\"\":1}", 7, PAYLOAD_UNKNOWN, BYTES("")},
        /* names with escapes; the last of a name */
        {"{\"\\u006fp\":7,\"d\\u0061ta\":1}", 7, PAYLOAD_JSON, BYTES("1")},
        {"{\"op\":\"x\",\"op\":7,\"data\":1,\"d\\u0061ta\":2}", 7, PAYLOAD_JSON, BYTES("2")},
        {"{\"text\":5,\"op\":7,\"text\":\"ok\"}", 7, PAYLOAD_TEXT, BYTES("ok")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message message;
        if (from_json(&message, cases[i].json, strlen(cases[i].json)) != 0)
            fail_msg("refused: %s", cases[i].json);
        assert_int_equal(message.op, cases[i].op);
        assert_int_equal(message.form, cases[i].form);
        assert_int_equal(message.len, cases[i].len);
        assert_memory_equal(message.payload, cases[i].payload, cases[i].len);
    }
}

static void refuses_what_is_no_message(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " ",
        "{",
        "{}",
        "[]",
        "7",
        "null",
        "\"op\"",
        "{\"op\":110",
        "{\"op\":110,}",
        "{\"op\":110}x",
        "{\"op\":110}{}",
        "[{\"op\":110}]",
        "{\"data\":1}",
        "{\"op\":null}",
        "{\"op\":\"110\"}",
        "{\"op\":-1}",
        "{\"op\":1.0}",
        "{\"op\":1e2}",
        "{\"op\":16777216}",
        "{\"op\":18446744073709551617}",
        "{\"op\":[]}",
        "{\"Op\":1}",
        "{\"op\":7,\"op\":\"x\"}",
        "{\"op\":7,\"data\":1,\"text\":\"a\"}",
        "{\"op\":7,\"text\":\"a\",\"b64\":\"\"}",
        "{\"op\":7,\"b64\":\"\",\"data\":null}",
        "{\"op\":7,\"text\":1}",
        "{\"op\":7,\"text\":null}",
        "{\"op\":7,\"text\":[\"a\"]}",
        "{\"op\":7,\"b64\":1}",
        "{\"op\":7,\"b64\":null}",
        "{\"op\":7,\"b64\":\"/\"}",
        "{\"op\":7,\"b64\":\"/w\"}",
        "{\"op\":7,\"b64\":\"/w=\"}",
        "{\"op\":7,\"b64\":\"/x==\"}",
        "{\"op\":7,\"b64\":\" /w==\"}",
        "{\"op\":7,\"b64\":\"_w==\"}",
        "{\"op\":7,\"text\":\"\\ud800\"}",
        "{\"op\":7,\"x\":\"\xff\"}",
        "{\"op\":7,\"x\":01}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message message;
        if (from_json(&message, cases[i], strlen(cases[i])) != -1)
            fail_msg("taken: %s", cases[i]);
    }
}

static void check_prefix(void *context, uint8_t *prefix, size_t len)
{
    struct message message;
    const bool whole = len == *(const size_t *)context;
    assert_int_equal(
        message_from_json(&message, (const char *)prefix, len, guard_room(&scratch, len)),
        whole ? 0 : -1);
}

static void needs_every_byte(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{\"op\":110,\"data\":{\"a\":[1,2.5,\"x\\n\"]}}",
        "{\"op\":110,\"text\":\"\\u00e9\xe6\x88\x91 plain\"}",
        "{\"op\":110,\"b64\":\"AAECAwQFBgc=\"}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = strlen(cases[i]);
        guard_prefixes(check_prefix, &len, cases[i], len);
    }
}

/* --- to JSON --- */

/* Writes into a buffer of exactly the bound that the header promises. */
static const char *to_json(const struct message *message, size_t *len)
{
    const size_t bound = message_json_bound(message->len);
    char *out = (char *)guard_room(&output, bound);
    *len = message_to_json(out, message);
    assert_true(*len <= bound);
    assert_true(json_valid(out, *len));
    return out;
}

static void writes_json(void **state)
{
    (void)state;
    static const struct {
        uint32_t op;
        enum payload_form form;
        const char *payload;
        size_t len;
        const char *json;
    } cases[] = {
        {110, PAYLOAD_UNKNOWN, BYTES(""), "{\"op\":110}"},
        {0, PAYLOAD_JSON, BYTES(""), "{\"op\":0}"},
        {UINT32_MAX, PAYLOAD_TEXT, BYTES(""), "{\"op\":4294967295,\"text\":\"\"}"},
        {10, PAYLOAD_BINARY, BYTES(""), "{\"op\":10,\"b64\":\"\"}"},
        /* known: not looked at */
        {1, PAYLOAD_JSON, BYTES("{\"a\": 1}"), "{\"op\":1,\"data\":{\"a\": 1}}"},
        {1, PAYLOAD_TEXT, BYTES("{\"a\":1}"), "{\"op\":1,\"text\":\"{\\\"a\\\":1}\"}"},
        {1, PAYLOAD_TEXT, BYTES("1"), "{\"op\":1,\"text\":\"1\"}"},
        {1, PAYLOAD_BINARY, BYTES("1"), "{\"op\":1,\"b64\":\"MQ==\"}"},
        /* unknown: JSON, else UTF-8, else base64 */
        {1, PAYLOAD_UNKNOWN, BYTES("{\"a\":[1]}"), "{\"op\":1,\"data\":{\"a\":[1]}}"},
        {1, PAYLOAD_UNKNOWN, BYTES(" 42\n"), "{\"op\":1,\"data\": 42\n}"},
        {1, PAYLOAD_UNKNOWN, BYTES("\"x\""), "{\"op\":1,\"data\":\"x\"}"},
        {1, PAYLOAD_UNKNOWN, BYTES("hello"), "{\"op\":1,\"text\":\"hello\"}"},
        {1, PAYLOAD_UNKNOWN, BYTES(" "), "{\"op\":1,\"text\":\" \"}"},
        {1, PAYLOAD_UNKNOWN, BYTES("{\"a\":1"), "{\"op\":1,\"text\":\"{\\\"a\\\":1\"}"},
        {1, PAYLOAD_UNKNOWN, BYTES("1}"), "{\"op\":1,\"text\":\"1}\"}"},
        {1, PAYLOAD_UNKNOWN, BYTES("1,\"op\":2"), "{\"op\":1,\"text\":\"1,\\\"op\\\":2\"}"},
        {1, PAYLOAD_UNKNOWN, BYTES("\0"), "{\"op\":1,\"text\":\"\\u0000\"}"},
        {110, PAYLOAD_UNKNOWN, BYTES("\xe6\x88\x91"), "{\"op\":110,\"text\":\"\xe6\x88\x91\"}"},
        {1, PAYLOAD_UNKNOWN, BYTES("\xff\xfe"), "{\"op\":1,\"b64\":\"//4=\"}"},
        {1, PAYLOAD_UNKNOWN, BYTES("\"\xff\""), "{\"op\":1,\"b64\":\"Iv8i\"}"},
        {1, PAYLOAD_UNKNOWN, BYTES("\"\\ud800\""), "{\"op\":1,\"text\":\"\\\"\\\\ud800\\\"\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct message message = {cases[i].op, cases[i].form,
                                        guard_put(&input, cases[i].payload, cases[i].len),
                                        cases[i].len};
        size_t len;
        const char *json = to_json(&message, &len);
        if (len != strlen(cases[i].json) || memcmp(json, cases[i].json, len) != 0)
            fail_msg("%.*s is not %s", (int)len, json, cases[i].json);
    }
}

/* A NULL payload of no bytes means no payload, in every form. */
static void writes_the_empty_payload(void **state)
{
    (void)state;
    for (int form = PAYLOAD_UNKNOWN; form <= PAYLOAD_BINARY; form++) {
        const struct message message = {5, (enum payload_form)form, NULL, 0};
        struct message back;
        size_t len;
        const char *json = to_json(&message, &len);
        assert_int_equal(from_json(&back, json, len), 0);
        assert_int_equal(back.op, 5);
        assert_int_equal(back.len, 0);
    }
}

/* The bound holds for the payload that grows most. */
static void the_bound_is_enough(void **state)
{
    (void)state;
    uint8_t payload[256];
    memset(payload, 1, sizeof payload);
    for (size_t len = 0; len <= sizeof payload; len++) {
        const struct message message = {UINT32_MAX, PAYLOAD_TEXT, payload, len};
        size_t size;
        to_json(&message, &size);
        assert_true(size >= 6 * len);
    }
}

/* --- there and back --- */

static size_t random_payload(uint64_t *random, uint8_t *out)
{
    static const char *const parts[] = {
        "{",     "}",  "[",         "]",   "\"", ",",    ":",    "1",        "-",
        "true",  " ",  "\\n",       "\\",  "\n", "\x01", "text", "\xc3\xa9", "\xf0\x9f\x98\x80",
        "\"a\"", "[]", "{\"a\":1}", "null"};
    size_t len = 0;
    for (size_t n = guard_random_below(random, 16); n > 0; n--) {
        if (guard_random_below(random, 20) == 0) {
            out[len++] = (uint8_t)guard_random(random);
            continue;
        }
        const char *part = parts[guard_random_below(random, sizeof parts / sizeof parts[0])];
        memcpy(out + len, part, strlen(part));
        len += strlen(part);
    }
    return len;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The result is the payload; for JSON, without the surrounding white space. */
static void check_back(const struct message *sent, const struct message *back)
{
    const uint8_t *payload = sent->payload;
    size_t len = sent->len;
    enum payload_form form = sent->form;
    if (form == PAYLOAD_UNKNOWN && len > 0)
        form = json_valid((const char *)payload, len) ? PAYLOAD_JSON
               : utf8_valid(payload, len)             ? PAYLOAD_TEXT
                                                      : PAYLOAD_BINARY;
    if (form == PAYLOAD_JSON) {
        for (; is_space(*payload); len--)
            payload++;
        while (is_space(payload[len - 1]))
            len--;
    }
    assert_int_equal(back->op, sent->op);
    assert_int_equal(back->form, form);
    assert_int_equal(back->len, len);
    assert_memory_equal(back->payload, payload, len);
}

static void goes_there_and_back(void **state)
{
    (void)state;
    uint64_t random = 1234567;
    size_t seen[PAYLOAD_BINARY + 1] = {0};
    for (int round = 0; round < 20000; round++) {
        uint8_t payload[256];
        struct message back, message = {.op = (uint32_t)guard_random_below(&random, 16777216)};
        message.len = random_payload(&random, payload);
        message.payload = guard_put(&input, payload, message.len);
        if (guard_random_below(&random, 4) == 0)
            message.form = utf8_valid(payload, message.len) ? PAYLOAD_TEXT : PAYLOAD_BINARY;
        size_t len;
        const char *json = to_json(&message, &len);
        assert_int_equal(message_from_json(&back, json, len, guard_room(&scratch, len)), 0);
        message.payload = payload;
        check_back(&message, &back);
        seen[back.form]++;
    }
    for (size_t form = 0; form < sizeof seen / sizeof seen[0]; form++)
        assert_true(seen[form] > 100);
}

/* A payload at the scanner's limit of depth can still be sent as JSON, and read. */
static void wraps_the_deepest_json(void **state)
{
    (void)state;
    uint8_t payload[2 * JSON_DEPTH_MAX];
    memset(payload, '[', JSON_DEPTH_MAX);
    memset(payload + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    const struct message message = {1, PAYLOAD_UNKNOWN, payload, sizeof payload};
    struct message back;
    char json[1024];
    assert_true(message_json_bound(sizeof payload) <= sizeof json);
    const size_t len = message_to_json(json, &message);
    assert_int_equal(from_json(&back, json, len), 0);
    assert_int_equal(back.form, PAYLOAD_JSON);
    assert_int_equal(back.len, sizeof payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opcodes_are_big_endian),
        cmocka_unit_test(names_come_from_the_tables),
        cmocka_unit_test(reads_binary),
        cmocka_unit_test(reads_json),
        cmocka_unit_test(refuses_what_is_no_message),
        cmocka_unit_test(needs_every_byte),
        cmocka_unit_test(writes_json),
        cmocka_unit_test(writes_the_empty_payload),
        cmocka_unit_test(the_bound_is_enough),
        cmocka_unit_test(goes_there_and_back),
        cmocka_unit_test(wraps_the_deepest_json),
    };
    return cmocka_run_group_tests(tests, open_pages, close_pages);
}
