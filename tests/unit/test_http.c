/*
 * The HTTP head parser. Each good head is given in all its prefixes, each ending at the guard page:
 * all except the whole must ask for more. Each bad one ends with its offending byte: it must fail
 * there, and not before.
 */
#include "tests/unit/guard.h"

#include <stdio.h>

#include "proto/http.h"

enum { MAX = 8192 };

static void assert_slice(struct slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.at, text, slice.len);
}

static ssize_t parse(const char *text, size_t len)
{
    struct http_request request;
    return http_parse_request(&request, text, len, MAX);
}

/* --- whole heads --- */

static const char chrome[] =
    "GET /ws?user=42&x=%20 HTTP/1.1\r\n"
    "Host: push.example.com:8080\r\n"
    "Connection: keep-alive, Upgrade\r\n"
    "Pragma: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/108.0.0.0\r\n"
    "Upgrade: websocket\r\n"
    "Origin: https://example.com\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Cookie: sid=31d4d96e407aad42; lang=en-US\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "X-Empty:\r\n"
    "X-Space: \t between\twords \t\r\n"
    "X-Latin: caf\xe9\r\n"
    "\r\n";

struct whole {
    size_t len;
};

static void check_prefix(void *context, uint8_t *prefix, size_t len)
{
    const struct whole *const whole = context;
    const ssize_t expected = len < whole->len ? 0 : (ssize_t)whole->len;
    const ssize_t result = parse((const char *)prefix, len);
    if (result != expected)
        fail_msg("%zd, not %zd, for %.*s", result, expected, (int)len, (const char *)prefix);
}

static void every_prefix_asks_for_more(void **state)
{
    static const char *const heads[] = {
        chrome,
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "\r\nGET / HTTP/1.1\nA:b\r\n\n",
        "OPTIONS * HTTP/1.9\r\n!#$%&'*+-.^_`|~: all of a token\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct whole whole = {strlen(heads[i])};
        guard_prefixes(check_prefix, &whole, heads[i], whole.len);
    }
}

static void a_browsers_request(void **state)
{
    (void)state;
    struct http_request request;
    char buf[sizeof(chrome) + 10];
    snprintf(buf, sizeof(buf), "%s\x81\x85more", chrome);
    assert_int_equal(http_parse_request(&request, buf, strlen(buf), MAX), strlen(chrome));
    assert_slice(request.method, "GET");
    assert_slice(request.target, "/ws?user=42&x=%20");
    assert_slice(request.path, "/ws");
    assert_slice(request.query, "user=42&x=%20");
    assert_int_equal(request.minor, 1);
    assert_int_equal(request.header_count, 12);
    assert_slice(request.header[0].name, "Host");
    assert_slice(request.header[0].value, "push.example.com:8080");
    assert_slice(request.header[9].value, "");
    assert_slice(request.header[10].value, "between\twords");
    assert_slice(request.header[11].name, "X-Latin");
    assert_slice(request.header[11].value, "caf\xe9");
    /* borrowed, not copied */
    assert_ptr_equal(request.method.at, buf);
    assert_ptr_equal(request.header[0].name.at, strstr(buf, "Host"));
}

static void targets_are_split(void **state)
{
    static const struct {
        const char *target, *path, *query, *authority;
    } cases[] = {
        {"/", "/", "", ""},
        {"/a/b", "/a/b", "", ""},
        {"/a?", "/a", "", ""},
        {"/a?b?c", "/a", "b?c", ""},
        {"/a?u=http://x/y", "/a", "u=http://x/y", ""},
        {"/://b", "/://b", "", ""},
        {"http://h/ws?u=1", "/ws", "u=1", "h"},
        {"wss://h:80/", "/", "", "h:80"},
        {"http://h", "/", "", "h"},
        {"http://h?u=1/2", "/", "u=1/2", "h"},
        {"*", "*", "", ""},
        {"h:443", "h:443", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char head[128];
        struct http_request request;
        snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\n\r\n", cases[i].target);
        assert_int_equal(http_parse_request(&request, head, strlen(head), MAX), strlen(head));
        assert_slice(request.target, cases[i].target);
        assert_slice(request.path, cases[i].path);
        assert_slice(request.query, cases[i].query);
        assert_slice(request.authority, cases[i].authority);
    }
}

static void hosts(void **state)
{
    static const struct {
        const char *head, *host;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a:1\r\n\r\n", "a:1"},
        {"GET http://b:2/ HTTP/1.1\r\nHost: a:1\r\n\r\n", "b:2"},
        {"GET http://b HTTP/1.1\r\n\r\n", "b"},
        {"GET / HTTP/1.1\r\n\r\n", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request request;
        const size_t len = strlen(cases[i].head);
        assert_int_equal(http_parse_request(&request, cases[i].head, len, MAX), len);
        assert_slice(http_host(&request), cases[i].host);
    }
}

/* --- bad heads, and where they fail --- */

static void bad_heads_fail_at_their_byte(void **state)
{
    static const struct {
        const char *text; /* ends with the first invalid byte */
        ssize_t error;
    } cases[] = {
        {"\x16", HTTP_BAD_SYNTAX}, /* a TLS client */
        {" ", HTTP_BAD_SYNTAX},
        {"\r\n\r", HTTP_BAD_SYNTAX}, /* more than one empty line */
        {"\rG", HTTP_BAD_SYNTAX},
        {"GET\t", HTTP_BAD_SYNTAX},
        {"GET\r", HTTP_BAD_SYNTAX},
        {"G(", HTTP_BAD_SYNTAX},
        {"GET  ", HTTP_BAD_SYNTAX},
        {"GET /\r", HTTP_BAD_SYNTAX}, /* HTTP/0.9 */
        {"GET /\t", HTTP_BAD_SYNTAX},
        {"GET /a#", HTTP_BAD_SYNTAX},
        {"GET /\xc3", HTTP_BAD_SYNTAX},
        {"GET /\x7f", HTTP_BAD_SYNTAX},
        {"GET /  ", HTTP_BAD_SYNTAX},
        {"GET / h", HTTP_BAD_SYNTAX},
        {"GET / HTTP/x", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1x", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.x", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1 ", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.10", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\rH", HTTP_BAD_SYNTAX},
        {"GET / HTTP/0", HTTP_BAD_VERSION},
        {"GET / HTTP/1.0", HTTP_BAD_VERSION},
        {"PRI * HTTP/2", HTTP_BAD_VERSION},
        {"GET / HTTP/1.1\r\n ", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\n:", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost ", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost\t", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost\r", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost\n", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nH\xc3", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost: a\r\n ", HTTP_BAD_SYNTAX}, /* obsolete folding */
        {"GET / HTTP/1.1\r\nHost: a\r\n\t", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost: a\rb", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost: a\r\r", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost: a\x01", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost: a\x7f", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost: a\r\n\rb", HTTP_BAD_SYNTAX},
        {"GET / HTTP/1.1\r\nHost: a\n\rb", HTTP_BAD_SYNTAX},
    };
    (void)state;
    struct guard guard = guard_open(128);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t len = strlen(cases[i].text);
        for (size_t part = 0; part <= len; part++) {
            const ssize_t expected = part < len ? 0 : cases[i].error;
            const char *const prefix = (char *)guard_put(&guard, cases[i].text, part);
            if (parse(prefix, part) != expected)
                fail_msg("%s: %zd after %zu bytes", cases[i].text, parse(prefix, part), part);
        }
        char longer[160];
        snprintf(longer, sizeof(longer), "%s\r\nA: b\r\n\r\n", cases[i].text);
        assert_int_equal(parse(longer, strlen(longer)), cases[i].error);
    }
    guard_close(&guard);
}

/* Parses `before`, the byte, and `after`; true if the head is good. */
static bool good_with(const char *before, int byte, const char *after)
{
    char head[128];
    const size_t before_len = strlen(before), after_len = strlen(after);
    memcpy(head, before, before_len);
    head[before_len] = (char)byte;
    memcpy(head + before_len + 1, after, after_len);
    const size_t len = before_len + 1 + after_len;
    return parse(head, len) == (ssize_t)len;
}

static void every_byte_in_every_element(void **state)
{
    static const char tchar[] = "!#$%&'*+-.^_`|~0123456789"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (void)state;
    for (int c = 0; c < 256; c++) {
        const bool token = c != 0 && strchr(tchar, c) != NULL;
        const bool target = c > 0x20 && c < 0x7f && c != '#';
        const bool text = c == '\t' || (c >= 0x20 && c != 0x7f);
        assert_int_equal(good_with("GE", c, "T / HTTP/1.1\r\n\r\n"), token);
        /* A space ends the target, and then there is no version. */
        assert_int_equal(good_with("GET /a", c, "b HTTP/1.1\r\n\r\n"), target);
        /* A colon ends the name, and a line feed the line of the value. */
        assert_int_equal(good_with("GET / HTTP/1.1\r\nA", c, "b: c\r\n\r\n"), token || c == ':');
        assert_int_equal(good_with("GET / HTTP/1.1\r\nA: b", c, "C: c\r\n\r\n"), text || c == '\n');
    }
}

/* Values are scanned a word at a time: tests every position in a word and every length. */
static void no_control_hides_in_a_value(void **state)
{
    static const char start[] = "GET / HTTP/1.1\r\nA:";
    static const char bad[] = {0x00, 0x01, 0x1f, 0x7f};
    (void)state;
    struct guard guard = guard_open(128);
    for (size_t len = 0; len <= 40; len++) {
        const size_t whole = sizeof(start) - 1 + len + 4;
        char *const head = (char *)guard_room(&guard, whole);
        char *const value = head + sizeof(start) - 1;
        memcpy(head, start, sizeof(start) - 1);
        memset(value, '\xff', len);
        memcpy(value + len, "\r\n\r\n", 4);
        assert_int_equal(parse(head, whole), whole);
        for (size_t at = 0; at < len; at++) {
            for (size_t i = 0; i < sizeof(bad); i++) {
                value[at] = bad[i];
                const size_t up_to = sizeof(start) - 1 + at;
                assert_int_equal(parse(head, up_to + 1), HTTP_BAD_SYNTAX);
                assert_int_equal(parse(head, whole), HTTP_BAD_SYNTAX);
            }
            value[at] = at % 2 == 0 ? ' ' : '~';
            assert_int_equal(parse(head, whole), whole);
        }
    }
    guard_close(&guard);
}

/* --- limits --- */

static size_t head_with(char *out, size_t size, unsigned headers)
{
    size_t len = (size_t)snprintf(out, size, "GET / HTTP/1.1\r\n");
    for (unsigned i = 0; i < headers; i++)
        len += (size_t)snprintf(out + len, size - len, "H%u: %u\r\n", i, i);
    return len + (size_t)snprintf(out + len, size - len, "\r\n");
}

static void sixty_four_headers_and_no_more(void **state)
{
    (void)state;
    char head[2048];
    struct http_request request;
    size_t len = head_with(head, sizeof(head), HTTP_HEADERS_MAX);
    assert_int_equal(http_parse_request(&request, head, len, MAX), len);
    assert_int_equal(request.header_count, 64);
    assert_slice(request.header[63].name, "H63");
    assert_slice(request.header[63].value, "63");

    const size_t full = len - 2; /* where the 65th name begins */
    len = head_with(head, sizeof(head), HTTP_HEADERS_MAX + 1);
    assert_int_equal(parse(head, len), HTTP_TOO_MANY_HEADERS);
    assert_int_equal(parse(head, full), 0);
    assert_int_equal(parse(head, full + 1), HTTP_TOO_MANY_HEADERS);
}

static void a_head_may_be_max_long_and_no_longer(void **state)
{
    (void)state;
    struct http_request request;
    const size_t len = sizeof(chrome) - 1;
    assert_int_equal(http_parse_request(&request, chrome, len, len), len);
    assert_int_equal(http_parse_request(&request, chrome, len, len + 1), len);
    assert_int_equal(http_parse_request(&request, chrome, len, len - 1), HTTP_TOO_LARGE);
    assert_int_equal(http_parse_request(&request, chrome, len - 1, len - 1), HTTP_TOO_LARGE);
    assert_int_equal(http_parse_request(&request, chrome, len - 2, len - 1), 0);

    /* Bytes after the head do not count; an error within `max` takes precedence over the size, one
     * after it is not seen. */
    char buf[64] = "GET / HTTP/1.1\r\n\r\n and forty bytes of something else";
    assert_int_equal(http_parse_request(&request, buf, 60, 18), 18);
    assert_int_equal(http_parse_request(&request, "GET / HTTP/1.0\r\n\r\n", 18, 14),
                     HTTP_BAD_VERSION);
    assert_int_equal(http_parse_request(&request, "GET / HTTP/1.0\r\n\r\n", 18, 13),
                     HTTP_TOO_LARGE);
}

/* --- responses --- */

static void responses(void **state)
{
    static const struct {
        const char *text;
        int status;
        ssize_t result; /* -1000: the whole length */
    } cases[] = {
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", 101, -1000},
        {"HTTP/1.1 503 \r\n\r\n", 503, -1000},
        {"HTTP/1.1 200\r\n\r\n", 200, -1000},
        {"HTTP/1.1 404 caf\xe9 not found\n\n", 404, -1000},
        {"HTTP/1.0 200 OK\r\n\r\n", 0, HTTP_BAD_VERSION},
        {"HTTP/2 200\r\n\r\n", 0, HTTP_BAD_VERSION},
        {"HTTP/1.1 99 No\r\n\r\n", 0, HTTP_BAD_SYNTAX},
        {"HTTP/1.1 099 No\r\n\r\n", 0, HTTP_BAD_SYNTAX},
        {"HTTP/1.1 2000 No\r\n\r\n", 0, HTTP_BAD_SYNTAX},
        {"HTTP/1.1  200 No\r\n\r\n", 0, HTTP_BAD_SYNTAX},
        {"HTTP/1.1 200\tOK\r\n\r\n", 0, HTTP_BAD_SYNTAX},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", 0, HTTP_BAD_SYNTAX},
        {"SSH-2.0-OpenSSH_9.2\r\n", 0, HTTP_BAD_SYNTAX},
    };
    (void)state;
    struct guard guard = guard_open(128);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request head;
        int status;
        const size_t len = strlen(cases[i].text);
        const bool good = cases[i].result == -1000;
        const char *const text = (char *)guard_put(&guard, cases[i].text, len);
        const ssize_t result = http_parse_response(&head, &status, text, len, MAX);
        assert_int_equal(result, good ? (ssize_t)len : cases[i].result);
        if (!good)
            continue;
        assert_int_equal(status, cases[i].status);
        for (size_t part = 0; part < len; part++)
            assert_int_equal(http_parse_response(&head, &status,
                                                 (char *)guard_put(&guard, cases[i].text, part),
                                                 part, MAX),
                             0);
        assert_int_equal(http_parse_response(&head, &status, cases[i].text, len, len - 1),
                         HTTP_TOO_LARGE);
    }
    guard_close(&guard);
    struct http_request head;
    int status;
    assert_true(http_parse_response(&head, &status, cases[0].text, strlen(cases[0].text), MAX) > 0);
    assert_slice(*http_header_find(&head, "upgrade", NULL), "websocket");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_asks_for_more),
        cmocka_unit_test(a_browsers_request),
        cmocka_unit_test(targets_are_split),
        cmocka_unit_test(hosts),
        cmocka_unit_test(bad_heads_fail_at_their_byte),
        cmocka_unit_test(every_byte_in_every_element),
        cmocka_unit_test(no_control_hides_in_a_value),
        cmocka_unit_test(sixty_four_headers_and_no_more),
        cmocka_unit_test(a_head_may_be_max_long_and_no_longer),
        cmocka_unit_test(responses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
