/* The PROXY protocol: both versions, each header cut at every byte, and each way to write one
 * wrong. */
#include "tests/unit/guard.h"

#include <arpa/inet.h>
#include <stdbool.h>

#include "proto/proxy.h"

static ssize_t parse(struct proxy_header *header, const void *bytes, size_t len)
{
    struct guard guard = guard_open(len);
    const ssize_t result = proxy_parse(header, guard_put(&guard, bytes, len), len);
    guard_close(&guard);
    return result;
}

static void assert_client(const struct proxy_header *header, const char *address, uint16_t port)
{
    char shown[INET6_ADDRSTRLEN];
    assert_true(header->has_client);
    assert_non_null(inet_ntop(AF_INET6, header->address, shown, sizeof(shown)));
    assert_string_equal(shown, address);
    assert_int_equal(header->port, port);
}

/* Every prefix asks for more; the whole header is accepted, with anything after it. */
static void assert_whole(struct proxy_header *header, const void *bytes, size_t len)
{
    uint8_t more[1024];
    for (size_t part = 0; part < len; part++)
        assert_int_equal(parse(header, bytes, part), 0);
    memcpy(more, bytes, len);
    memcpy(more + len, "GET /", 5);
    assert_int_equal(parse(header, more, len + 5), len);
    assert_int_equal(parse(header, bytes, len), len);
}

static void lines(void **state)
{
    struct proxy_header header;
    (void)state;
#define WHOLE(text) assert_whole(&header, text, sizeof(text) - 1)
    WHOLE("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n");
    assert_client(&header, "::ffff:192.0.2.1", 56324);
    WHOLE("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n");
    assert_client(&header, "2001:db8::1", 0);
    WHOLE("PROXY UNKNOWN\r\n");
    assert_false(header.has_client);
    WHOLE("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n");
    assert_false(header.has_client);
}

static void lines_that_are_wrong(void **state)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY \n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWN\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
        "PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1:5 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
    };
    struct proxy_header header;
    char endless[200];
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (parse(&header, texts[i], strlen(texts[i])) != PROXY_BAD)
            fail_msg("%s was taken", texts[i]);
    memset(endless, 'x', sizeof(endless));
    memcpy(endless, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse(&header, endless, 106), 0);
    assert_int_equal(parse(&header, endless, 107), PROXY_BAD);
    memcpy(endless + 105, "\r\n", 2);
    assert_int_equal(parse(&header, endless, 107), 107);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_PAIR   "\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb"

static void binary(void **state)
{
    struct proxy_header header;
    (void)state;
    WHOLE(SIGNATURE "\x21\x11\0\x0c" V4_PAIR);
    assert_client(&header, "::ffff:192.0.2.1", 56324);
    WHOLE(SIGNATURE "\x21\x11\0\x10" V4_PAIR "\4\0\1x"); /* a TLV behind */
    assert_client(&header, "::ffff:192.0.2.1", 56324);
    WHOLE(SIGNATURE "\x21\x21\0\x24"
                    "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                    "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
                    "\0\x50\1\xbb");
    assert_client(&header, "2001:db8::1", 80);
    WHOLE(SIGNATURE "\x20\0\0\0");
    assert_false(header.has_client);
    WHOLE(SIGNATURE "\x20\x11\0\x0c" V4_PAIR); /* LOCAL: its addresses are ignored */
    assert_false(header.has_client);
    WHOLE(SIGNATURE "\x21\0\0\3xyz"); /* UNSPEC */
    assert_false(header.has_client);
    WHOLE(SIGNATURE "\x21\x12\0\x0c" V4_PAIR); /* UDP */
    assert_false(header.has_client);
}

static void binary_that_is_wrong(void **state)
{
    struct proxy_header header;
    uint8_t large[PROXY_MAX + 1] = SIGNATURE "\x21\x11";
    (void)state;
#define BAD(text) assert_int_equal(parse(&header, text, sizeof(text) - 1), PROXY_BAD)
    BAD("\r\n\r\n\0\r\nQUIT\r");
    BAD("\r\nG");
    BAD(SIGNATURE "\x11");
    BAD(SIGNATURE "\x22");
    BAD(SIGNATURE "\x31\x11\0\x0c" V4_PAIR);
    BAD(SIGNATURE "\x21\x11\0\x0b" V4_PAIR);
    BAD(SIGNATURE "\x21\x21\0\x0c" V4_PAIR);
    BAD(SIGNATURE "\x21\x11\xff\xff" V4_PAIR);
    large[14] = (PROXY_MAX - 16) >> 8;
    large[15] = (PROXY_MAX - 16) & 0xff;
    assert_int_equal(parse(&header, large, PROXY_MAX - 1), 0);
    assert_int_equal(parse(&header, large, PROXY_MAX), PROXY_MAX);
    large[15]++;
    assert_int_equal(parse(&header, large, 16), PROXY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(lines_that_are_wrong),
        cmocka_unit_test(binary),
        cmocka_unit_test(binary_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
