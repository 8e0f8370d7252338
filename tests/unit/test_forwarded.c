/* Addresses as proxies write them, and the choice among them in X-Forwarded-For. */
#include "tests/unit/guard.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "proto/forwarded.h"

static struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static void assert_address(const uint8_t address[16], const char *text)
{
    char shown[INET6_ADDRSTRLEN];
    assert_non_null(inet_ntop(AF_INET6, address, shown, sizeof(shown)));
    assert_string_equal(shown, text);
}

static void addresses(void **state)
{
    static const char *const cases[][2] = {
        {"192.0.2.1", "::ffff:192.0.2.1"},
        {"192.0.2.1:80", "::ffff:192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::1", "::1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guard guard = guard_open(strlen(cases[i][0]));
        uint8_t address[16];
        const char *const text = (char *)guard_put(&guard, cases[i][0], strlen(cases[i][0]));
        assert_true(address_parse((struct slice){text, strlen(cases[i][0])}, address));
        assert_address(address, cases[i][1]);
        guard_close(&guard);
    }
}

static void texts_that_are_no_addresses(void **state)
{
    static const char *const texts[] = {
        "",
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1.1",
        "1",
        "[",
        "[]",
        "[::1",
        "]",
        ":",
        "::1::",
        "fe80::%1",
        "localhost",
        "192.0.2.1 evil",
        "0x7f.0.0.1",
        "127.1",
        "192.0.2.01",
        "[[::1]]",
        "\xff\xff\xff\xff",
        "1111111111111111111111111111111111111111111111111111111111111111111111111",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint8_t address[16];
        if (address_parse(slice_of(texts[i]), address))
            fail_msg("%s was taken for an address", texts[i]);
    }
    uint8_t address[16];
    assert_false(address_parse((struct slice){"127.0.0.1\0x", 11}, address));
}

/* 10.0.0.0/8 is ours. */
static bool is_ours(const void *context, const uint8_t address[16])
{
    (void)context;
    return address[12] == 10;
}

static void the_rightmost_that_is_no_proxy(void **state)
{
    static const char *const cases[][2] = {
        {"192.0.2.1", "::ffff:192.0.2.1"},
        {"192.0.2.9, 192.0.2.1", "::ffff:192.0.2.1"},
        {"127.0.0.1, 192.0.2.1", "::ffff:192.0.2.1"},
        {"192.0.2.1, 10.0.0.1", "::ffff:192.0.2.1"},
        {"192.0.2.9, 192.0.2.1, 10.0.0.2, 10.0.0.1", "::ffff:192.0.2.1"},
        {"10.0.0.9, 192.0.2.1, 10.0.0.1", "::ffff:192.0.2.1"},
        {"10.0.0.3, 10.0.0.2, 10.0.0.1", "::ffff:10.0.0.3"},
        {"192.0.2.1,, ,10.0.0.1", "::ffff:192.0.2.1"},
        {"192.0.2.1, unknown, 10.0.0.1", "::ffff:10.0.0.1"},
        {"evil, 192.0.2.1", "::ffff:192.0.2.1"},
        {"192.0.2.9\r\nx-forwarded-for: 192.0.2.1, 10.0.0.1", "::ffff:192.0.2.1"},
        {"[2001:db8::1]:1234, 10.0.0.1", "2001:db8::1"},
        {"unknown", NULL},
        {"192.0.2.1, unknown", NULL},
        {"", NULL},
        {",,,", NULL},
        {"\r\nX-Forwarded: 192.0.2.1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char head[512];
        struct http_request request;
        uint8_t address[16];
        const int len = snprintf(head, sizeof(head),
                                 "GET / HTTP/1.1\r\nX-Forwarded-For: %s\r\n\r\n", cases[i][0]);
        assert_int_equal(http_parse_request(&request, head, (size_t)len, sizeof(head)), len);
        if (forwarded_client(&request, is_ours, NULL, address) != (cases[i][1] != NULL))
            fail_msg("%s", cases[i][0]);
        if (cases[i][1])
            assert_address(address, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(texts_that_are_no_addresses),
        cmocka_unit_test(the_rightmost_that_is_no_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
