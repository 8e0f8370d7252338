/*
 * Addresses, URLs and networks of push.conf: good and bad ones, and their meaning.
 */
#include "tests/unit/config_case.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "common/config_internal.h"

static void addresses_to_listen_on(void **state)
{
    static const struct {
        const char *text;
        int family;
        bool loopback;
        const char *shown; /* NULL: as written */
    } cases[] = {
        {"127.0.0.1:8080", AF_INET, true, NULL},
        {"127.1.2.3:1", AF_INET, true, NULL},
        {"0.0.0.0:65535", AF_INET, false, NULL},
        {"192.0.2.1:80", AF_INET, false, NULL},
        {"[::1]:8080", AF_INET6, true, NULL},
        {"[::]:8080", AF_INET6, false, NULL},
        {"[::ffff:127.0.0.1]:80", AF_INET6, true, NULL},
        {"[2001:db8::1]:80", AF_INET6, false, NULL},
        {"unix:/run/ws.sock", AF_UNIX, true, NULL},
        {"localhost:0", AF_INET, true, "127.0.0.1:0"},
    };
    char why[CONFIG_WHY_MAX], shown[128];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct listen_address address;

        assert_true(config_parse_listen(cases[i].text, &address, why));
        assert_int_equal(address.addr.ss_family, cases[i].family);
        assert_int_equal(address.loopback, cases[i].loopback);
        assert_int_equal(address.is_unix, cases[i].family == AF_UNIX);
        assert_ptr_equal(address.text, cases[i].text);
        assert_string_equal(
            config_address_text((struct sockaddr *)&address.addr, address.len, shown, sizeof shown),
            cases[i].shown ? cases[i].shown : cases[i].text);
    }
}

static void no_addresses_to_listen_on(void **state)
{
    static const char *const texts[] = {
        "",         "8080",      ":8080",      "localhost",     "127.0.0.1",
        "::1:8080", "[::1]",     "[::1]8080",  "[::1:8080",     "[]:80",
        "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:-1", "1.2.3.4:65536", "1.2.3.4:80:80",
        "unix:",    "unix:rel",  "no such:80", "[zz]:80",       "999.999.999.999:80",
    };
    char why[CONFIG_WHY_MAX], longest[512] = "unix:/";

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct listen_address address;

        why[0] = '\0';
        assert_false(config_parse_listen(texts[i], &address, why));
        assert_true(strlen(why) > 0);
    }

    struct listen_address address;
    const size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    memset(longest + strlen("unix:/"), 'x', room - 1);
    assert_true(config_parse_listen(longest, &address, why));
    longest[strlen("unix:") + room] = 'x';
    assert_false(config_parse_listen(longest, &address, why));
    memset(longest, '1', sizeof longest - 1);
    assert_false(config_parse_listen(longest, &address, why));
}

/* The word " proxy" after an address, and texts that only look like it. */
static void listeners_behind_the_proxy_protocol(void **state)
{
    static const struct {
        const char *text;
        bool proxy;
        const char *shown;
    } cases[] = {
        {"127.0.0.1:8080 proxy", true, "127.0.0.1:8080"},
        {"[::1]:8080   proxy", true, "[::1]:8080"},
        {"unix:/run/ws.sock proxy", true, "unix:/run/ws.sock"},
        {"unix:/run/proxy", false, "unix:/run/proxy"},
        {"unix:/run/a proxy server", false, "unix:/run/a proxy server"},
    };
    static const char *const wrong[] = {
        "proxy",
        " proxy",
        "127.0.0.1 proxy",
        "127.0.0.1:8080 Proxy",
        "127.0.0.1:8080 proxy2",
        "127.0.0.1:8080proxy",
        "127.0.0.1:8080 proxy proxy",
    };
    char why[CONFIG_WHY_MAX], shown[128];
    struct listen_address address;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(config_parse_listen(cases[i].text, &address, why));
        assert_int_equal(address.proxy, cases[i].proxy);
        assert_ptr_equal(address.text, cases[i].text);
        assert_string_equal(
            config_address_text((struct sockaddr *)&address.addr, address.len, shown, sizeof shown),
            cases[i].shown);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(config_parse_listen(wrong[i], &address, why));
}

static void a_client_without_a_name(void **state)
{
    const struct sockaddr_un nameless = {.sun_family = AF_UNIX};
    char shown[64];

    (void)state;
    assert_string_equal(config_address_text((const struct sockaddr *)&nameless, sizeof(sa_family_t),
                                            shown, sizeof shown),
                        "unix:");
}

static void check_redis(const char *url, bool is_unix, const char *host, unsigned port,
                        const char *user, const char *password, unsigned db)
{
    struct redis_address redis;
    char why[CONFIG_WHY_MAX];

    assert_true(config_parse_redis(url, &redis, why));
    assert_int_equal(redis.is_unix, is_unix);
    assert_string_equal(redis.host, host);
    assert_int_equal(redis.port, port);
    assert_string_equal(redis.user ? redis.user : "-", user);
    assert_string_equal(redis.password ? redis.password : "-", password);
    assert_int_equal(redis.db, db);
    config_redis_free(&redis);
}

static void urls_of_redis(void **state)
{
    (void)state;
    check_redis("redis://127.0.0.1:6379/0", false, "127.0.0.1", 6379, "-", "-", 0);
    check_redis("redis://host", false, "host", 6379, "-", "-", 0);
    check_redis("redis://host/", false, "host", 6379, "-", "-", 0);
    check_redis("redis://host:1/15", false, "host", 1, "-", "-", 15);
    check_redis("redis://[::1]:2/3", false, "::1", 2, "-", "-", 3);
    check_redis("redis://:pw@host", false, "host", 6379, "-", "pw", 0);
    check_redis("redis://me:p%40%2f:w@host:7", false, "host", 7, "me", "p@/:w", 0);
    check_redis("redis://me:a@b@host", false, "host", 6379, "me", "a@b", 0);
    check_redis("redis://me@host", false, "host", 6379, "me", "-", 0);
    check_redis("unix:///run/redis.sock", true, "/run/redis.sock", 0, "-", "-", 0);
    check_redis("unix:///run/redis.sock?db=4", true, "/run/redis.sock", 0, "-", "-", 4);
    check_redis("unix://:pw@/run/a%20b", true, "/run/a b", 0, "-", "pw", 0);
}

static void no_urls_of_redis(void **state)
{
    static const char *const urls[] = {
        "",
        "redis",
        "redis:",
        "redis://",
        "redis:///0",
        "http://host",
        "rediss://host",
        "127.0.0.1:6379",
        "redis://host:0",
        "redis://host:x",
        "redis://host:65536",
        "redis://host/x",
        "redis://host/-1",
        "redis://host/65536",
        "redis://::1",
        "redis://[::1",
        "redis://:%4@host",
        "redis://:%zz@host",
        "redis://:a%00b@host",
        "unix://",
        "unix://relative",
        "unix:///s?",
        "unix:///s?db=",
        "unix:///s?db=x",
        "unix:///s?password=x",
    };
    char why[CONFIG_WHY_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct redis_address redis;

        assert_false(config_parse_redis(urls[i], &redis, why));
        assert_null(redis.host);
    }
    bad_line("redis = \"redis://:secret@h:x\"",
             "redis: is not a URL of the form redis://[user:password@]host[:port][/db] or "
             "unix:///path[?db=N]");
}

static void networks(void **state)
{
    static const struct {
        const char *text;
        int bits; /* -1: none */
    } cases[] = {
        {"10.0.0.0/8", 104},
        {"127.0.0.1/32", 128},
        {"127.0.0.1", 128},
        {"0.0.0.0/0", 96},
        {"::1/128", 128},
        {"::1", 128},
        {"::/0", 0},
        {"2001:db8::/33", 33},
        {"10.0.0.1/8", -1},
        {"10.0.0.0/33", -1},
        {"10.0.0.0/", -1},
        {"10.0.0.0/x", -1},
        {"10.0.0/8", -1},
        {"::/129", -1},
        {"2001:db8::1/64", -1},
        {"", -1},
        {"/8", -1},
        {"host/8", -1},
        {"10.0.0.0/-1", -1},
        {"10.0.0.0/8/8", -1},
    };
    char why[CONFIG_WHY_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct network network;

        assert_int_equal(config_parse_network(cases[i].text, &network, why), cases[i].bits >= 0);
        if (cases[i].bits >= 0)
            assert_int_equal(network.bits, cases[i].bits);
    }
}

static bool trusts(const struct config *config, const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
        return config_trusts(config, (struct sockaddr *)&in);
    assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
    return config_trusts(config, (struct sockaddr *)&in6);
}

static void trust(void **state)
{
    struct config *config =
        good(LOOPBACK "trusted_proxies = {\"10.1.0.0/17\", \"2001:db8::/33\", \"192.0.2.7\"}");
    const struct sockaddr local = {.sa_family = AF_UNIX}, strange = {.sa_family = AF_PACKET};

    (void)state;
    assert_true(trusts(config, "10.1.0.1"));
    assert_true(trusts(config, "10.1.127.255"));
    assert_false(trusts(config, "10.1.128.0"));
    assert_true(trusts(config, "::ffff:10.1.0.1"));
    assert_true(trusts(config, "2001:db8:7fff::1"));
    assert_false(trusts(config, "2001:db8:8000::1"));
    assert_true(trusts(config, "192.0.2.7"));
    assert_false(trusts(config, "192.0.2.6"));
    assert_false(trusts(config, "127.0.0.1"));
    assert_true(config_trusts(config, &local));
    assert_false(config_trusts(config, &strange));
    config_free(config);

    config = good(LOOPBACK "trusted_proxies = {}");
    assert_false(trusts(config, "127.0.0.1"));
    assert_true(config_trusts(config, &local));
    config_free(config);
}

/* The form in logs and answers: everything except the password. */
static void urls_of_redis_without_the_password(void **state)
{
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"redis://127.0.0.1", "redis://127.0.0.1:6379/0"},
        {"redis://:secret@cache:6380/3", "redis://cache:6380/3"},
        {"redis://app:secret@cache", "redis://app@cache:6379/0"},
        {"redis://[::1]:6379", "redis://[::1]:6379/0"},
        {"unix:///run/redis.sock", "unix:///run/redis.sock?db=0"},
        {"unix://app:secret@/run/redis.sock?db=2", "unix://app@/run/redis.sock?db=2"},
    };
    char why[CONFIG_WHY_MAX], shown[128], cut[12];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct redis_address redis;

        assert_true(config_parse_redis(cases[i].url, &redis, why));
        assert_string_equal(config_redis_text(&redis, shown, sizeof shown), cases[i].shown);
        assert_memory_equal(config_redis_text(&redis, cut, sizeof cut), cases[i].shown,
                            sizeof cut - 1);
        assert_int_equal(cut[sizeof cut - 1], '\0');
        config_redis_free(&redis);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_to_listen_on),
        cmocka_unit_test(no_addresses_to_listen_on),
        cmocka_unit_test(listeners_behind_the_proxy_protocol),
        cmocka_unit_test(a_client_without_a_name),
        cmocka_unit_test(urls_of_redis),
        cmocka_unit_test(no_urls_of_redis),
        cmocka_unit_test(urls_of_redis_without_the_password),
        cmocka_unit_test(networks),
        cmocka_unit_test(trust),
    };
    return cmocka_run_group_tests_name("config_address", tests, make_file, remove_file);
}
