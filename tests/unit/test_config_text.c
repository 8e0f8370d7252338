/*
 * push.conf as a text: its syntax, every mistake reported with its line, broken structure, and
 * files that are not regular text.
 */
#include "tests/unit/config_case.h"

static void comments_and_forms(void **state)
{
    struct config *config = good("# one\n// two\n/* three\n four */ heartbeat = 7 # five\n"
                                 "listen = { # first\n 127.0.0.1:1, /* second */ '127.0.0.1:2',\n}"
                                 "\r\npath = /a//b\nnode = 'it\\'s'prefix=\"\\x41\\\"\\\\:\"\n"
                                 "jwt {} jwt { cookie = a } jwt { query = b }\n"
                                 "heartbeat_timeout = 1 heartbeat_timeout = 2");

    (void)state;
    assert_int_equal(config->heartbeat, 7);
    assert_int_equal(config->listen.count, 2);
    assert_string_equal(config->listen.item[1], "127.0.0.1:2");
    assert_string_equal(config->path, "/a//b");
    assert_string_equal(config->node, "it's");
    assert_string_equal(config->prefix, "A\"\\:");
    assert_string_equal(config->jwt.cookie, "a");
    assert_string_equal(config->jwt.query, "b");
    assert_int_equal(config->heartbeat_timeout, 2); /* the last one counts */
    config_free(config);

    config = good(LOOPBACK "trusted_proxies += \"10.0.0.0/8\"");
    assert_int_equal(config->trusted_proxies.count, 2);
    config_free(config);
}

static void environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("WSPUSHD_TEST_WORD", "se\"cret", 1), 0);
    assert_int_equal(unsetenv("WSPUSHD_TEST_NONE"), 0);
    struct config *config =
        good(LOOPBACK "node = \"${WSPUSHD_TEST_WORD}\" prefix = \"${WSPUSHD_TEST_NONE:-x}:\"");
    assert_string_equal(config->node, "se\"cret");
    assert_string_equal(config->prefix, "x:");
    config_free(config);

    bad_line("node = \"${WSPUSHD_TEST_NONE}\"",
             "the environment variable WSPUSHD_TEST_NONE is not set");
    bad_line("node = \"${WSPUSHD_TEST_WORD\"",
             "${ begins the name of an environment variable; } is missing");
}

static void lines_are_right_after_comments(void **state)
{
    (void)state;
    bad(LOOPBACK "# one\n\n// two\n/* three\n\n*/\nheartbeat = 0 # four\n\nwatchdog = 0\n",
        "conf:8: heartbeat: 0 is below 1 second\nconf:10: watchdog: 0 is below 1 second\n");
}

static void all_mistakes_by_line(void **state)
{
    (void)state;
    bad("hartbeat = 3\n"
        "heartbeat = 0\n"
        "listen = {\"127.0.0.1:1\",\n"
        "  \"nonsense\",\n"
        "  \"127.0.0.1:99999\"}\n"
        "foo { bar = { 1, 2 } baz \"t\" { x += 1 } }\n"
        "jwt { bogus = 1\n"
        "  algorithm = none }\n"
        "jwt = 3\n"
        "path { a = 1 }\n"
        "jwt \"title\" { }\n"
        "log_level += info\n"
        "workers = {1}\n"
        "node = \"open\n"
        "watchdog = 0\n"
        "trusted_proxies = {\"::/129\", \"1\"}\n"
        "admin = x\n",
        "conf:1: hartbeat: unknown key\n"
        "conf:2: heartbeat: 0 is below 1 second\n"
        "conf:4: listen: nonsense is not an address: write host:port, [::]:port or unix:/path\n"
        "conf:5: listen: 127.0.0.1:99999: the port is not a number from 0 to 65535\n"
        "conf:6: foo: unknown section\n"
        "conf:7: bogus: unknown key in section jwt\n"
        "conf:8: jwt.algorithm: none is not one of: HS256, HS384, HS512, RS256, ES256\n"
        "conf:9: jwt: is a section: jwt { ... }\n"
        "conf:10: path: takes a value: path = ...\n"
        "conf:11: jwt: must be written jwt { ... }\n"
        "conf:12: log_level: += is only for lists\n"
        "conf:13: workers: takes one value, not a list\n"
        "conf:14: the string that begins here is not closed on this line\n"
        "conf:15: watchdog: 0 is below 1 second\n"
        "conf:16: trusted_proxies: ::/129 is not a network: write 10.0.0.0/8, ::1/128 or one "
        "address\n"
        "conf:16: trusted_proxies: 1 is not a network: write 10.0.0.0/8, ::1/128 or one address\n"
        "conf:17: admin: x is not an address: write host:port, [::]:port or unix:/path\n");
}

static void broken_structure_stops_there(void **state)
{
    static const char *const cases[][2] = {
        {"heartbeat 3", "conf:2: heartbeat: '=' is missing"},
        {"jwt cookie = a", "conf:2: expected '{', found \"=\""},
        {"jwt { cookie = a", "jwt: the section that begins here is not closed"},
        {"}", "expected a key, found }"},
        {"\"heartbeat\" = 3", "expected a key, found heartbeat"},
        {"heartbeat = ", "unexpected end of file, expected a value"},
        {"heartbeat = = 3", "expected a value, found \"=\""},
        {"listen = {a b}", "expected ',' or the list's '}', found b"},
        {"listen = {a,,b}", "expected a value or the list's '}', found ,"},
        {"listen = {\"127.0.0.1:2\"", "unexpected end of file, expected ',' or the list's '}'"},
        {"/* open", "the comment that begins here is not closed"},
        {"node = a*b", "'*' is allowed only in quotes"},
        {"node = $HOME", "'$' is allowed only in quotes"},
        {"node = (a)", "'(' is allowed only in quotes"},
        {"node = \"\\101\"", "octal escapes are not supported: write \\x and two digits"},
        {"a{a{a{a{a{a{a{a{a{a{", "sections are nested more than 8 deep"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];

        snprintf(text, sizeof text, LOOPBACK "%s", cases[i][0]);
        assert_null(load(text));
        if (!strstr(messages, cases[i][1]))
            fail_msg("%s: %s", text, messages);
    }
    /* The text before the break is checked nevertheless. */
    bad(LOOPBACK "heartbeat = 0\n}\nwatchdog = 0\n",
        "conf:2: heartbeat: 0 is below 1 second\nconf:3: expected a key, found }\n");
}

/* libconfuse's scanner is global to the process: a broken file must not affect the next. */
static void a_broken_file_spoils_no_other(void **state)
{
    static const char *const broken[] = {"node = \"x",   "node = 'x",  "/* x",        "jwt {",
                                         "node = \"\\8", "listen = {", "node = \"${X"};

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_null(load(broken[i]));
        struct config *config = good(LOOPBACK "heartbeat = 9");
        assert_int_equal(config->heartbeat, 9);
        config_free(config);
    }
}

static void files_that_are_no_text(void **state)
{
    static const char nul[] = LOOPBACK "\n\0heartbeat = 0";
    const size_t size = 10 << 20;
    char *junk = malloc(size);
    uint32_t random = 1;

    (void)state;
    write_file(nul, sizeof nul - 1);
    assert_null(load_file(NULL, 0));
    assert_string_equal(messages, "conf:3: NUL byte: not a text file\n");

    assert_non_null(junk);
    for (size_t i = 0; i < size; i++) {
        random = random * 1664525 + 1013904223;
        junk[i] = (char)(random >> 24);
    }
    write_file(junk, size);
    assert_null(load_file(NULL, 0));
    assert_string_equal(messages, "conf: the file is larger than 1 MiB\n");

    /* The same at sizes that are read, with characters that have a meaning. */
    for (size_t i = 0; i < 1 << 20; i++)
        junk[i] = "{}=+,\"'#/*$\\\n a1"[(uint8_t)junk[i] % 16];
    for (size_t len = 1; len <= 1 << 20; len *= 2) {
        write_file(junk + (1 << 19) * (len < 1 << 19), len);
        assert_null(load_file(NULL, 0));
        assert_true(strlen(messages) > 0);
    }
    free(junk);
}

static void every_cut_of_a_file(void **state)
{
    static const char whole[] =
        LOOPBACK "# c\nnode = \"a${HOME}\\x41\" /* c */ jwt { cookie = 'x' }\n"
                 "trusted_proxies += {\"::1\", 127.0.0.1,}\nopcode 110 { to = echo }\n";

    (void)state;
    for (size_t len = 0; len < sizeof whole; len++) {
        write_file(whole, len);
        config_free(load_file(NULL, 0));
    }
}

static void too_many_mistakes_are_cut(void **state)
{
    char text[2000] = LOOPBACK;

    (void)state;
    for (size_t i = strlen(LOOPBACK); i + 4 < sizeof text; i += 4)
        memcpy(text + i, "a=1\n", 5);
    assert_null(load(text));
    assert_non_null(strstr(messages, "conf:101: a: unknown key\nconf: and "));
}

static void files_that_cannot_be_read(void **state)
{
    char *printed = NULL;
    size_t len = 0;
    FILE *errors = open_memstream(&printed, &len);

    (void)state;
    assert_null(config_load("/nonexistent/push.conf", NULL, 0, errors));
    assert_null(config_load("/tmp", NULL, 0, errors));
    assert_int_equal(fclose(errors), 0);
    assert_string_equal(printed, "/nonexistent/push.conf: No such file or directory\n"
                                 "/tmp: Is a directory\n");
    free(printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comments_and_forms),
        cmocka_unit_test(environment),
        cmocka_unit_test(lines_are_right_after_comments),
        cmocka_unit_test(all_mistakes_by_line),
        cmocka_unit_test(broken_structure_stops_there),
        cmocka_unit_test(a_broken_file_spoils_no_other),
        cmocka_unit_test(files_that_are_no_text),
        cmocka_unit_test(every_cut_of_a_file),
        cmocka_unit_test(too_many_mistakes_are_cut),
        cmocka_unit_test(files_that_cannot_be_read),
    };
    return cmocka_run_group_tests_name("config_text", tests, make_file, remove_file);
}
