/*
 * The opening handshake: RFC 6455's own example, each rule broken one at a time, and the answers
 * read back by the response parser.
 */
#include "tests/unit/guard.h"

#include <stdio.h>

#include <jansson.h>

#include "proto/handshake.h"

#define GET     "GET /ws HTTP/1.1\r\n"
#define HOST    "Host: server.example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define ALL     GET HOST UPGRADE KEY VERSION

static enum handshake_error check(const char *head, struct handshake *out)
{
    static struct http_request request;
    static char text[1024]; /* the memory that `out` points into */
    const int len = snprintf(text, sizeof(text), "%s\r\n", head);
    if (http_parse_request(&request, text, (size_t)len, sizeof(text)) != len)
        fail_msg("not a head: %s", text);
    return handshake_check(&request, out);
}

static void rfc_6455_example(void **state)
{
    /* §1.3 */
    (void)state;
    struct guard guard = guard_open(HANDSHAKE_ACCEPT_LEN);
    char *const accept = (char *)guard_room(&guard, HANDSHAKE_ACCEPT_LEN);
    handshake_accept(accept, (struct slice){"dGhlIHNhbXBsZSBub25jZQ==", 24});
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28);
    guard_close(&guard);

    struct handshake out;
    assert_int_equal(check(GET HOST UPGRADE KEY
                           "Origin: http://example.com\r\n"
                           "Sec-WebSocket-Protocol: chat, push.json.v1\r\n" VERSION,
                           &out),
                     HANDSHAKE_OK);
    assert_true(slice_equal(out.key, "dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(slice_equal(out.protocol, "push.json.v1"));
    assert_int_equal(out.mode, MODE_JSON);
}

static void each_rule_broken(void **state)
{
    static const struct {
        const char *head;
        enum handshake_error error;
    } cases[] = {
        {ALL, HANDSHAKE_OK},
        {"POST /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION, HANDSHAKE_METHOD},
        {"get /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION, HANDSHAKE_METHOD},

        {GET HOST, HANDSHAKE_NOT_UPGRADE},
        {GET HOST "Connection: Upgrade\r\n" KEY VERSION, HANDSHAKE_NOT_UPGRADE},

        {GET HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY VERSION, HANDSHAKE_BAD_UPGRADE},
        {GET HOST "Upgrade: websockets\r\nConnection: Upgrade\r\n" KEY VERSION,
         HANDSHAKE_BAD_UPGRADE},
        {GET HOST "Upgrade:\r\nConnection: Upgrade\r\n" KEY VERSION, HANDSHAKE_BAD_UPGRADE},
        {ALL "Upgrade: websocket\r\n", HANDSHAKE_OK}, /* two fields are one list */
        {ALL "Upgrade: h2c\r\n", HANDSHAKE_OK},
        {GET HOST "Upgrade: h2c\r\nUpgrade: x, WebSocket\r\nConnection: Upgrade\r\n" KEY VERSION,
         HANDSHAKE_OK},
        {GET HOST "Upgrade: h2c\r\nUpgrade: x\r\nConnection: Upgrade\r\n" KEY VERSION,
         HANDSHAKE_BAD_UPGRADE},
        {GET HOST "Upgrade: WebSocket\r\nConnection: keep-alive,upgrade\r\n" KEY VERSION,
         HANDSHAKE_OK},
        {GET HOST "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n" KEY VERSION, HANDSHAKE_OK},
        {GET HOST "Upgrade: websocket\r\n" KEY VERSION, HANDSHAKE_BAD_UPGRADE},
        {GET HOST "Upgrade: websocket\r\nConnection: keep-alive\r\n" KEY VERSION,
         HANDSHAKE_BAD_UPGRADE},
        {GET HOST
         "Upgrade: websocket\r\nConnection: close\r\nConnection: x, Upgrade\r\n" KEY VERSION,
         HANDSHAKE_OK},

        {GET UPGRADE KEY VERSION, HANDSHAKE_BAD_HOST},
        {ALL HOST, HANDSHAKE_BAD_HOST},
        {GET "Host:\r\n" UPGRADE KEY VERSION, HANDSHAKE_BAD_HOST},

        {GET HOST UPGRADE KEY, HANDSHAKE_VERSION},
        {ALL VERSION, HANDSHAKE_VERSION},
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", HANDSHAKE_VERSION},
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n", HANDSHAKE_VERSION},
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version: 013\r\n", HANDSHAKE_VERSION},

        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n",
         HANDSHAKE_OK}, /* RFC 6455 §4.1: bits behind the last byte are set */
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PE/==\r\n", HANDSHAKE_OK},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PE*==\r\n",
         HANDSHAKE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PE===\r\n",
         HANDSHAKE_BAD_KEY},
        {GET HOST UPGRADE VERSION, HANDSHAKE_BAD_KEY},
        {ALL KEY, HANDSHAKE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key:\r\n", HANDSHAKE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n",
         HANDSHAKE_BAD_KEY}, /* 15 bytes */
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n",
         HANDSHAKE_BAD_KEY}, /* 17 */
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n",
         HANDSHAKE_BAD_KEY}, /* 18 */
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA\r\n",
         HANDSHAKE_BAD_KEY}, /* 16, not padded */
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAA AAAAAAAAAA==\r\n",
         HANDSHAKE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==AAAA\r\n",
         HANDSHAKE_BAD_KEY},
        {GET HOST UPGRADE VERSION
         "Sec-WebSocket-Key: "
         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
         HANDSHAKE_BAD_KEY}, /* must not run over a buffer */

        {ALL "Content-Length: 0\r\n", HANDSHAKE_OK},
        {ALL "Content-Length: 1\r\n", HANDSHAKE_BODY},
        {ALL "Content-Length: 00\r\n", HANDSHAKE_BODY},
        {ALL "Content-Length:\r\n", HANDSHAKE_BODY},
        {ALL "Content-Length: 0\r\nContent-Length: 5\r\n", HANDSHAKE_BODY},
        {ALL "Transfer-Encoding: chunked\r\n", HANDSHAKE_BODY},
        {ALL "Transfer-Encoding: identity\r\n", HANDSHAKE_BODY},

        {ALL "Sec-WebSocket-Protocol: chat\r\n", HANDSHAKE_SUBPROTOCOL},
        {ALL "Sec-WebSocket-Protocol: PUSH.BIN.V1\r\n", HANDSHAKE_SUBPROTOCOL},
        {ALL "Sec-WebSocket-Protocol: push.bin.v11, push.bin.v\r\n", HANDSHAKE_SUBPROTOCOL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct handshake out;
        const enum handshake_error error = check(cases[i].head, &out);
        if (error != cases[i].error)
            fail_msg("%d, not %d, for\n%s", error, cases[i].error, cases[i].head);
    }
}

static void subprotocols(void **state)
{
    static const struct {
        const char *fields, *chosen;
        enum proto_mode mode;
    } cases[] = {
        {"", "", MODE_BINARY},
        {"Sec-WebSocket-Protocol: push.bin.v1\r\n", "push.bin.v1", MODE_BINARY},
        {"Sec-WebSocket-Protocol: push.json.v1\r\n", "push.json.v1", MODE_JSON},
        {"Sec-WebSocket-Protocol: x,push.json.v1 , push.bin.v1\r\n", "push.json.v1", MODE_JSON},
        {"Sec-WebSocket-Protocol: push.bin.v1, push.json.v1\r\n", "push.bin.v1", MODE_BINARY},
        {"Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: y, push.json.v1\r\n", "push.json.v1",
         MODE_JSON},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char head[512];
        struct handshake out;
        snprintf(head, sizeof(head), "%s%s", ALL, cases[i].fields);
        assert_int_equal(check(head, &out), HANDSHAKE_OK);
        assert_true(slice_equal(out.protocol, cases[i].chosen));
        assert_int_equal(out.mode, cases[i].mode);
    }
    /* If only the subprotocol is wrong, the other fields are filled in: the echo endpoint
     * continues. */
    struct handshake out;
    assert_int_equal(check(ALL "Sec-WebSocket-Protocol: chat\r\n", &out), HANDSHAKE_SUBPROTOCOL);
    assert_true(slice_equal(out.key, "dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(slice_equal(out.protocol, ""));
}

static void acceptance_is_a_101(void **state)
{
    static const char *const protocols[] = {"", "push.bin.v1", "push.json.v1"};
    (void)state;
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        char out[HANDSHAKE_RESPONSE_MAX];
        const struct handshake handshake = {
            .key = {"dGhlIHNhbXBsZSBub25jZQ==", 24},
            .protocol = {protocols[i], strlen(protocols[i])},
        };
        const size_t len = handshake_response(out, &handshake);
        struct http_request head;
        int status;
        assert_int_equal(http_parse_response(&head, &status, out, len, len), len);
        assert_int_equal(status, 101);
        assert_true(slice_equal(*http_header_find(&head, "Upgrade", NULL), "websocket"));
        assert_true(slice_equal(*http_header_find(&head, "Connection", NULL), "Upgrade"));
        assert_true(slice_equal(*http_header_find(&head, "Sec-WebSocket-Accept", NULL),
                                "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        const struct slice *const protocol =
            http_header_find(&head, "Sec-WebSocket-Protocol", NULL);
        assert_int_equal(protocol != NULL, i > 0);
        assert_true(protocol == NULL || slice_equal(*protocol, protocols[i]));
        assert_int_equal(head.header_count, i > 0 ? 4 : 3);
    }
}

/* Reads a refusal as a client would: the head, then as much JSON as Content-Length says. */
static void check_refusal(int status, const char *code, const char *text, struct http_request *head,
                          char out[HTTP_RESPONSE_MAX])
{
    const size_t len = http_refusal(out, status, code, text, 4294967295U);
    int got;
    const ssize_t head_len = http_parse_response(head, &got, out, len, HTTP_RESPONSE_MAX);
    assert_true(head_len > 0);
    assert_int_equal(got, status);
    const size_t body_len = len - (size_t)head_len;
    char expected[16];
    snprintf(expected, sizeof(expected), "%zu", body_len);
    assert_true(slice_equal(*http_header_find(head, "Content-Length", NULL), expected));
    assert_true(slice_equal(*http_header_find(head, "Content-Type", NULL), "application/json"));
    assert_true(http_list_has(*http_header_find(head, "Connection", NULL), "close"));

    json_t *const body = json_loadb(out + head_len, body_len, 0, NULL);
    assert_non_null(body);
    assert_string_equal(json_string_value(json_object_get(body, "error")), code);
    assert_string_equal(json_string_value(json_object_get(body, "message")), text);
    assert_int_equal(json_object_size(body), 2);
    json_decref(body);
}

static bool has_field(const struct http_request *head, const char *name, const char *value)
{
    const struct slice *const found = http_header_find(head, name, NULL);
    return found != NULL && slice_equal(*found, value);
}

static void refusals_carry_their_fields(void **state)
{
    (void)state;
    for (int status = 400; status < 600; status++) {
        struct http_request head;
        char out[HTTP_RESPONSE_MAX];
        check_refusal(status, "some_code", "some text", &head, out);
        assert_int_equal(has_field(&head, "Upgrade", "websocket"), status == 426);
        assert_int_equal(has_field(&head, "Connection", "Upgrade, close"), status == 426);
        assert_int_equal(has_field(&head, "Sec-WebSocket-Version", "13"), status == 426);
        assert_int_equal(has_field(&head, "Allow", "GET"), status == 405);
        assert_int_equal(has_field(&head, "WWW-Authenticate", "Bearer"), status == 401);
        assert_int_equal(has_field(&head, "Retry-After", "4294967295"), status == 503);
    }
    char out[HTTP_RESPONSE_MAX];
    static const char start[] = "HTTP/1.1 426 Upgrade Required\r\n";
    http_refusal(out, 426, "a", "b", 0);
    assert_memory_equal(out, start, sizeof(start) - 1);
}

static void every_error_has_its_refusal(void **state)
{
    (void)state;
    struct refusal refusal;
    struct http_request head;
    char out[HTTP_RESPONSE_MAX];
#define CHECK(found, want_status, want_code, want_text) \
    refusal = (found);                                  \
    assert_int_equal(refusal.status, want_status);      \
    assert_string_equal(refusal.code, want_code);       \
    assert_string_equal(refusal.text, want_text);       \
    check_refusal(refusal.status, refusal.code, refusal.text, &head, out);
#define CHECK_HANDSHAKE(name, status, code, text) \
    CHECK(handshake_refusal(HANDSHAKE_##name), status, code, text)
#define CHECK_HTTP(name, value, status, code, text) \
    CHECK(http_error_refusal(HTTP_##name), status, code, text)
    HANDSHAKE_ERRORS(CHECK_HANDSHAKE)
    HTTP_ERRORS(CHECK_HTTP)
    assert_int_equal(handshake_refusal(HANDSHAKE_OK).status, 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_6455_example),
        cmocka_unit_test(each_rule_broken),
        cmocka_unit_test(subprotocols),
        cmocka_unit_test(acceptance_is_a_101),
        cmocka_unit_test(refusals_carry_their_fields),
        cmocka_unit_test(every_error_has_its_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
