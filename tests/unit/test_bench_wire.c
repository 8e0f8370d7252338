/*
 * wspush-bench on the wire: payloads, publications by Redis and HTTP, and the dialects of the
 * servers that it measures.
 */
#include "tools/bench_dialect.h"
#include "tools/bench_medium.h"
#include "tools/bench_payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct payload sample = {SOURCE_TOPIC, 0xabcdef01, 7, 0x0123456789abcdef};

static void a_payload_is_read_as_it_was_written(void **state)
{
    char text[100];
    struct payload got;

    (void)state;
    for (size_t size = PAYLOAD_MIN; size <= sizeof(text); size++) {
        payload_write(text, size, &sample);
        assert_true(payload_read(&got, text, size));
        assert_int_equal(got.kind, sample.kind);
        assert_int_equal(got.source, sample.source);
        assert_int_equal(got.number, sample.number);
        assert_int_equal(got.time, sample.time);
    }
    assert_memory_equal(text, "tabcdef01000000070123456789abcdef...", 36);
}

static void what_is_no_payload_is_refused(void **state)
{
    char text[PAYLOAD_MIN];
    struct payload got;

    (void)state;
    payload_write(text, sizeof(text), &sample);
    assert_false(payload_read(&got, text, PAYLOAD_MIN - 1));
    for (size_t i = 0; i < sizeof(text); i++) {
        const char was = text[i];
        text[i] = 'X';
        assert_false(payload_read(&got, text, sizeof(text)));
        text[i] = was;
    }
    assert_true(payload_read(&got, text, sizeof(text)));
}

/* Feeds a reply byte by byte: it is read only once it is complete, and then entirely. */
static void assert_reply(const struct medium *medium, const char *text, bool ok, int64_t receivers)
{
    struct medium_reply reply;
    const size_t len = strlen(text);

    for (size_t part = 0; part < len; part++)
        assert_int_equal(medium->get(&reply, text, part), 0);
    assert_int_equal(medium->get(&reply, text, len), len);
    assert_int_equal(reply.ok, ok);
    assert_int_equal(reply.receivers, receivers);
}

static void redis_publishes_and_replies(void **state)
{
    const struct medium *redis = medium_find("redis://127.0.0.1:6379");
    static const char wanted[] = "*3\r\n$7\r\nPUBLISH\r\n$4\r\na:42\r\n$2\r\nhi\r\n";
    char out[MEDIUM_OVERHEAD + 64];
    struct medium_reply reply;

    (void)state;
    assert_int_equal(redis->put(out, "h", "a:42", "hi", 2), sizeof(wanted) - 1);
    assert_memory_equal(out, wanted, sizeof(wanted) - 1);
    assert_reply(redis, ":3\r\n", true, 3);
    assert_reply(redis, "-NOPERM no\r\n", false, 0);
    assert_int_equal(redis->get(&reply, "hello\r\n", 7), -1);
}

static void http_publishes_and_replies(void **state)
{
    const struct medium *http = medium_find("http://127.0.0.1");
    static const char wanted[] = "POST /pub?id=42 HTTP/1.1\r\nHost: h:80\r\n"
                                 "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";
    char out[MEDIUM_OVERHEAD + 64];
    struct medium_reply reply;

    (void)state;
    assert_int_equal(http->put(out, "h:80", "/pub?id=42", "hi", 2), sizeof(wanted) - 1);
    assert_memory_equal(out, wanted, sizeof(wanted) - 1);
    assert_reply(http, "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello", true, -1);
    assert_reply(http, "HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", true, -1);
    assert_reply(http, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", false, -1);
    static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_int_equal(http->get(&reply, chunked, sizeof(chunked) - 1), -1);
    assert_null(medium_find("ftp://127.0.0.1"));
}

static void names_come_from_patterns(void **state)
{
    char name[32];

    (void)state;
    medium_name(name, sizeof(name), "push:user:{}", 42);
    assert_string_equal(name, "push:user:42");
    medium_name(name, sizeof(name), "/pub?id={}&x", 0);
    assert_string_equal(name, "/pub?id=0&x");
    medium_name(name, sizeof(name), "push:all", 1);
    assert_string_equal(name, "push:all");
}

static void assert_heard(const char *dialect, const char *message, size_t len, enum heard_kind kind,
                         const char *text)
{
    const struct heard heard = dialect_find(dialect)->hear((const uint8_t *)message, len);
    assert_int_equal(heard.kind, kind);
    if (text != NULL)
        assert_memory_equal(heard.text, text, strlen(text));
}

#define ASSERT_HEARD(dialect, literal, kind, text) \
    assert_heard(dialect, literal, sizeof(literal) - 1, kind, text)

static void each_dialect_is_understood(void **state)
{
    (void)state;
    ASSERT_HEARD("wspush", "\0\0\0\1{}", HEARD_READY, NULL);
    ASSERT_HEARD("wspush", "\0\0\0\5{}", HEARD_JOINED, NULL);
    ASSERT_HEARD("wspush", "\0\0\0\x8{}", HEARD_ACCEPTED, NULL);
    ASSERT_HEARD("wspush", "\0\0\0\0{}", HEARD_REJECTED, NULL);
    ASSERT_HEARD("wspush", "\0\0\0\x9{}", HEARD_GAP, NULL);
    ASSERT_HEARD("wspush", "\0\0\0\x6eu0", HEARD_PUSH, "u0");
    ASSERT_HEARD("wspush", "\0\0", HEARD_NOTHING, NULL);
    ASSERT_HEARD("plain", "u0", HEARD_PUSH, "u0");
    ASSERT_HEARD("socketio", "0{\"sid\":\"x\"}", HEARD_GREETING, NULL);
    ASSERT_HEARD("socketio", "40{\"sid\":\"x\"}", HEARD_READY, NULL);
    ASSERT_HEARD("socketio", "2", HEARD_PING, NULL);
    ASSERT_HEARD("socketio", "42[\"push\",\"u0\"]", HEARD_PUSH, "u0");
    ASSERT_HEARD("socketio", "42[\"push\"]", HEARD_NOTHING, NULL);
    ASSERT_HEARD("socketio", "", HEARD_NOTHING, NULL);
    assert_null(dialect_find("klingon"));
}

static void each_dialect_wraps_its_pushes(void **state)
{
    char out[DIALECT_WRAP + 2];
    const struct dialect *wspush = dialect_find("wspush");

    (void)state;
    assert_int_equal(dialect_wrap(wspush, false, 110, out, "hi", 2), 6);
    assert_memory_equal(out, "\0\0\0\x6ehi", 6);
    const size_t len = dialect_wrap(wspush, true, 16777215, out, "hi", 2);
    assert_int_equal(len, strlen("{\"op\":16777215,\"text\":\"hi\"}"));
    assert_memory_equal(out, "{\"op\":16777215,\"text\":\"hi\"}", len);
    assert_int_equal(dialect_wrap(dialect_find("plain"), false, 110, out, "hi", 2), 2);
    assert_memory_equal(out, "hi", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_payload_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_payload_is_refused),
        cmocka_unit_test(redis_publishes_and_replies),
        cmocka_unit_test(http_publishes_and_replies),
        cmocka_unit_test(names_come_from_patterns),
        cmocka_unit_test(each_dialect_is_understood),
        cmocka_unit_test(each_dialect_wraps_its_pushes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
