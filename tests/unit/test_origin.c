/*
 * Origins against Host fields and against the patterns of push.conf.
 */
#include "tests/unit/guard.h"

#include "proto/origin.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static void same_origin(void **state)
{
    static const struct {
        const char *origin, *host;
        bool same;
    } cases[] = {
        {"https://app.example.org", "app.example.org", true},
        {"https://app.example.org", "app.example.org:443", true}, /* nginx: $host:$server_port */
        {"http://app.example.org", "app.example.org:80", true},
        {"https://app.example.org:443", "app.example.org", true},
        {"wss://app.example.org", "app.example.org", true}, /* SocketRocket's default */
        {"wss://app.example.org", "app.example.org:443", true},
        {"ws://app.example.org", "app.example.org:80", true},
        {"https://APP.example.org", "app.Example.ORG:443", true},
        {"http://127.0.0.1:8080", "127.0.0.1:8080", true},
        {"https://127.0.0.1:8080", "127.0.0.1:8080", true},
        {"http://[::1]:8080", "[::1]:8080", true},
        {"http://[::1]", "[::1]:80", true},
        {"capacitor://localhost", "localhost", true},

        {"http://app.example.org", "app.example.org:443", false},
        {"https://app.example.org", "app.example.org:80", false},
        {"https://app.example.org:8443", "app.example.org", false},
        {"http://127.0.0.1", "127.0.0.1:8080", false},
        {"http://evil.example", "app.example.org", false},
        {"http://app.example.org.evil.example", "app.example.org", false},
        {"http://evil.example/app.example.org", "app.example.org", false},
        {"http://app.example.org@evil.example", "app.example.org", false},
        {"http://evil.example@app.example.org", "app.example.org", false},
        {"http://app.example.org:", "app.example.org", false},
        {"http://app.example.org:0", "app.example.org", false},
        {"http://app.example.org:99999", "app.example.org", false},
        {"http://app.example.org:80x", "app.example.org", false},
        {"http://a b", "a b", false},
        {"://app.example.org", "app.example.org", false},
        {"app.example.org", "app.example.org", false},
        {"http://", "", false},
        {"file://", "", false},
        {"null", "null", false},
        {"", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (origin_is_host(slice_of(cases[i].origin), slice_of(cases[i].host)) != cases[i].same)
            fail_msg("%s and Host %s", cases[i].origin, cases[i].host);
}

static void patterns(void **state)
{
    static const struct {
        const char *origin, *pattern;
        bool matches;
    } cases[] = {
        {"https://anywhere.example", "*", true},
        {"null", "*", true},
        {"https://x", "https://x", true},
        {"https://x", "https://x:443", true},
        {"https://x:443", "https://x", true},
        {"wss://x", "https://x", true},
        {"https://x", "wss://x", true},
        {"HTTPS://X", "https://x", true},
        {"null", "null", true},
        {"file://", "file://", true},
        {"chrome-extension://abc", "chrome-extension://abc", true},
        {"https://a.example.net", "https://*.example.net", true},
        {"https://a.example.net:443", "https://*.example.net", true},
        {"https://a.example.net:8443", "https://*.example.net:8443", true},

        {"http://x", "https://x", false},
        {"https://x:8443", "https://x", false},
        {"https://x", "null", false},
        {"null", "https://null", false},
        {"null", "file://", false},
        {"https://example.net", "https://*.example.net", false},
        {"https://.example.net", "https://*.example.net", false},
        {"https://a.b.example.net", "https://*.example.net", false},
        {"https://aexample.net", "https://*.example.net", false},
        {"https://a.example.net.evil", "https://*.example.net", false},
        {"http://a.example.net", "https://*.example.net", false},
        {"https://evil/.example.net", "https://*.example.net", false},
        {"https://evil@a.example.net", "https://*.example.net", false},
        {"chrome-extension://abd", "chrome-extension://abc", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (origin_matches(slice_of(cases[i].origin), cases[i].pattern) != cases[i].matches)
            fail_msg("%s and the pattern %s", cases[i].origin, cases[i].pattern);
}

static void hosts(void **state)
{
    static const struct {
        const char *text;
        bool valid, address;
        unsigned port;
    } cases[] = {
        {"127.0.0.1:8081", true, true, 8081},
        {"127.0.0.1", true, true, 0},
        {"[::1]:8081", true, true, 8081},
        {"[::1]", true, true, 0},
        {"localhost:8081", true, false, 8081},
        {"evil.example", true, false, 0},
        {"127.0.0.1.evil.example", true, false, 0},
        {"[::1", true, false, 0},
        {"[::1]x", false, false, 0},
        {"a:", false, false, 0},
        {"", false, false, 0},
        {"a/b", false, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct host_port host;
        if (host_port_parse(slice_of(cases[i].text), &host) != cases[i].valid ||
            (cases[i].valid &&
             (host.port != cases[i].port || host_is_address(host.host) != cases[i].address)))
            fail_msg("%s", cases[i].text);
    }
}

/* No byte is read past the end. */
static void guarded(void **state)
{
    static const char *const texts[] = {"https://a.b:443", "https://[::1]:8", "null", "http://[::"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        for (size_t len = 0; len <= strlen(texts[i]); len++) {
            struct guard guard = guard_open(len);
            char *const text = (char *)guard_room(&guard, len);
            memcpy(text, texts[i], len);
            origin_is_host((struct slice){text, len}, slice_of("a.b"));
            origin_is_host(slice_of("https://a.b"), (struct slice){text, len});
            origin_matches((struct slice){text, len}, "https://*.b");
            guard_close(&guard);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_origin),
        cmocka_unit_test(patterns),
        cmocka_unit_test(hosts),
        cmocka_unit_test(guarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
