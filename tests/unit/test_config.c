/*
 * The values of push.conf: every key's default and bounds, the syntax of each kind, keys that
 * contradict each other, opcodes and overrides.
 */
#include "tests/unit/config_case.h"

#include <netinet/in.h>

#include "common/config_internal.h"

static void an_empty_file_says_what_to_do(void **state)
{
    (void)state;
    bad("", "conf: auth: with none, any client that reaches 0.0.0.0:8080 can act as any user: set "
            "auth to jwt, session or header, or listen on 127.0.0.1 only, or set allow_insecure = "
            "true\n");
}

static void defaults_are_the_table(void **state)
{
    struct config *config = good("allow_insecure = true");

    (void)state;
#define SAME_INT(key, initial, ...) assert_int_equal(config->key, initial);
#define SAME_BOOL(key, initial, ...)         \
    if (strcmp(#key, "allow_insecure") != 0) \
        assert_int_equal(config->key, initial);
#define SAME_STR(key, initial, ...) assert_string_equal(config->key, initial);
#define SAME_LIST(key, initial, ...)                             \
    {                                                            \
        const char *const wanted[] = initial;                    \
        assert_int_equal(config->key.count, wanted[0] ? 1 : 0);  \
        if (wanted[0])                                           \
            assert_string_equal(config->key.item[0], wanted[0]); \
    }
    CONFIG_KEYS(SAME_INT, SAME_BOOL, SAME_STR, SAME_INT, SAME_LIST)
    assert_string_equal(config->header.name, "X-Auth-User");
    assert_string_equal(config->jwt.key_file, "");
    assert_string_equal(config->jwt.algorithm, "HS256");
    assert_string_equal(config->jwt.cookie, "token");
    assert_string_equal(config->jwt.query, "");
    assert_string_equal(config->session.cookie, "sid");
    assert_string_equal(config->session.header, "");
    assert_string_equal(config->session.prefix, "session:");
    assert_int_equal(config->rule_count, 0);
    config_free(config);
}

/* One bound of one INT: the bound itself is accepted, one beyond it is refused with key, value,
 * bound and unit. share_descriptors and the like accept any number. */
static void check_bound(const struct config_key *key, long bound, long step)
{
    char line[128], wanted[256], unit[64];
    const size_t len = strlen(key->unit);

    snprintf(line, sizeof line, "%s = %ld", key->name, bound);
    good_line(line);

    snprintf(line, sizeof line, "%s = %ld", key->name, bound + step);
    snprintf(unit, sizeof unit, "%.*s", (int)(bound == 1 ? len - 1 : len), key->unit);
    snprintf(wanted, sizeof wanted, "%s: %ld is %s %ld %s", key->name, bound + step,
             step < 0 ? "below" : "above", bound, unit);
    bad_line(line, wanted);
}

static void every_number_has_its_bounds(void **state)
{
    const struct config_section *root = &config_sections[SECTION_ROOT];

    (void)state;
    for (size_t i = 0; i < root->count; i++) {
        if (root->key[i].kind != KEY_INT)
            continue;
        check_bound(&root->key[i], root->key[i].least, -1);
        check_bound(&root->key[i], root->key[i].most, 1);
    }
}

static void every_word_of_an_enum(void **state)
{
    const struct config_section *root = &config_sections[SECTION_ROOT];
    char line[128], wanted[256], words[128];

    (void)state;
    for (size_t i = 0; i < root->count; i++) {
        const struct config_key *key = &root->key[i];

        if (key->kind != KEY_ENUM)
            continue;
        for (int word = 0; key->words[word]; word++) {
            snprintf(line, sizeof line, LOOPBACK "%s = %s", key->name, key->words[word]);
            struct config *config = good(line);
            assert_int_equal(*(int *)((char *)config + key->offset), word);
            config_free(config);
        }
        snprintf(line, sizeof line, "%s = \"nonsense\"", key->name);
        snprintf(wanted, sizeof wanted, "%s: nonsense is not one of: %s", key->name,
                 config_words_text(key->words, ", ", words, sizeof words));
        bad_line(line, wanted);
    }
}

static void numbers_are_whole_and_decimal(void **state)
{
    (void)state;
    bad_line("heartbeat = soon", "heartbeat: soon is not a whole number of seconds (1 to 3600)");
    bad_line("heartbeat = 1.5", "heartbeat: 1.5 is not a whole number of seconds (1 to 3600)");
    bad_line("heartbeat = 25s", "heartbeat: 25s is not a whole number of seconds (1 to 3600)");
    bad_line("heartbeat = 0x10", "heartbeat: 0x10 is not a whole number of seconds (1 to 3600)");
    bad_line("heartbeat = \"\"", "heartbeat: \"\" is not a whole number of seconds (1 to 3600)");
    bad_line("heartbeat = -", "heartbeat: - is not a whole number of seconds (1 to 3600)");
    bad_line("heartbeat = 99999999999999999999",
             "heartbeat: 99999999999999999999 is above 3600 seconds");
    bad_line("heartbeat = -99999999999999999999",
             "heartbeat: -99999999999999999999 is below 1 second");

    struct config *config = good(LOOPBACK "heartbeat = \"0030\"");
    assert_int_equal(config->heartbeat, 30);
    config_free(config);
}

static void truths(void **state)
{
    static const char *const yes[] = {"true", "yes", "on", "\"true\""};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char text[128];

        snprintf(text, sizeof text, LOOPBACK "console = %s", yes[i]);
        struct config *config = good(text);
        assert_true(config->console);
        config_free(config);
    }
    bad_line("console = 1", "console: 1 is neither true nor false");
    bad_line("console = maybe", "console: maybe is neither true nor false");
}

static void strings_of_the_wrong_form(void **state)
{
    static const char *const cases[][2] = {
        {"path = ws", "path: ws does not begin with /"},
        {"path = \"\"", "path: \"\" does not begin with /"},
        {"path = \"/a b\"", "path: \"/a b\": a path must not contain white space, ? or #"},
        {"path = \"/a?b\"", "path: /a?b: a path must not contain white space, ? or #"},
        {"echo_path = echo", "echo_path: echo does not begin with /"},
        {"echo_path = \"/ws\"", "echo_path: is the same as path: /ws"},
        {"prefix = \"a b\"", "prefix: \"a b\" contains white space or control characters"},
        {"prefix = \"a\\n\"", "prefix: \"a\\n\" contains white space or control characters"},
        {"node = \"a b\"", "node: \"a b\": a node's name has at most 63 bytes and no white space"},
        {"origins = \"app.example.org\"", "origins: app.example.org is not an origin: write "
                                          "https://app.example.org, without a path, "
                                          "or \"*\", \"null\", \"file://\""},
        {"origins = \"https://a/\"",
         "origins: https://a/ is not an origin: write https://app.example.org, without a path, "
         "or \"*\", \"null\", \"file://\""},
        {"origins = \"https://a*.example.net\"",
         "origins: https://a*.example.net: a * may replace only the whole first label, as in "
         "https://*.example.org, or stand alone for any origin"},
        {"origins = \"https://*\"",
         "origins: https://*: a * may replace only the whole first label, as in "
         "https://*.example.org, or stand alone for any origin"},
        {"topics = \"\"", "topics: \"\": a pattern has 1 to 128 bytes and no white space"},
        {"topics = {\"room:*\", \"a b\"}",
         "topics: \"a b\": a pattern has 1 to 128 bytes and no white space"},
        {"topics = \"{name}\"", "topics: {name}: the only placeholder is {user}"},
        {"topics = \"a}\"", "topics: a}: the only placeholder is {user}"},
        {"topics = \"{user\"", "topics: {user: the only placeholder is {user}"},
        {"auth = pam", "auth: pam is not one of: jwt, session, header, none"},
        {"jwt { algorithm = none }",
         "jwt.algorithm: none is not one of: HS256, HS384, HS512, RS256, ES256"},
        {"session { cookie = \"a b\" }",
         "session.cookie: \"a b\" is not a valid header or cookie name"},
        {"session { prefix = \" \" }",
         "session.prefix: \" \" contains white space or control characters"},
        {"header { name = \"X:\" }", "header.name: X: is not a valid header or cookie name"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        bad_line(cases[i][0], cases[i][1]);
}

static void a_prefix_has_64_bytes(void **state)
{
    char line[128], wanted[256], prefix[66];

    (void)state;
    memset(prefix, 'p', sizeof prefix);
    snprintf(line, sizeof line, "prefix = \"%.64s\"", prefix);
    good_line(line);
    snprintf(line, sizeof line, "prefix = \"%.65s\"", prefix);
    snprintf(wanted, sizeof wanted, "prefix: %.65s is longer than 64 bytes", prefix);
    bad_line(line, wanted);
}

/* --- several keys together --- */

static void keys_that_contradict(void **state)
{
    (void)state;
    bad("listen = {}", "conf:1: listen: expected at least one address, like 127.0.0.1:8080\n");
    bad(LOOPBACK "auth = {}",
        "conf:2: auth: expected at least one method: jwt, session, header or none\n");
    bad_line("auth = {session, none, session}", "auth: session is listed twice");
    bad_line("auth = jwt", "auth: jwt needs a key: jwt { key_file = \"...\" }");
    bad_line("auth = jwt jwt { key_file = \"/nonexistent\" }",
             "auth: jwt.key_file /nonexistent: No such file or directory");
    bad_line("auth = session auth_timeout = 10",
             "auth_timeout: must be shorter than handshake_timeout (10 seconds)");
    good_line("auth_timeout = 10");
    good_line("jwt { key_file = \"/nonexistent\" }");
    bad_line("auth = session session { cookie = \"\" }",
             "auth: session needs a cookie or a header: session { cookie = \"sid\" }");
    bad_line("auth = header header { name = \"\" }",
             "auth: header needs its name: header { name = \"X-Auth-User\" }");
    bad_line("share_descriptors = false", "share_descriptors: false requires workers = 1");
    bad_line("console = true path = \"/\"",
             "path: / is used by the console: choose another path, or set console = false");
    bad_line("listen += \"127.0.0.1:8080\"", "listen: 127.0.0.1:8080 is listed twice");
    bad_line("listen += \"localhost:8080 proxy\"",
             "listen: \"localhost:8080 proxy\" is listed twice");
    bad_line("admin = \"127.0.0.1:8081 proxy\"",
             "admin: \"127.0.0.1:8081 proxy\": the admin interface does not speak the PROXY "
             "protocol");
    good_line("share_descriptors = false workers = 1");
    good_line("auth = {\"session\", \"none\"}");
}

static void none_only_where_it_is_safe(void **state)
{
    static const char *const safe[] = {
        "listen = {\"127.0.0.1:1\", \"[::1]:1\", \"unix:/tmp/s\"}",
        "listen = \"0.0.0.0:1\" allow_insecure = true",
        "listen = \"0.0.0.0:1\" auth = session",
    };

    (void)state;
    for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
        config_free(good(safe[i]));
    bad("listen = {\"127.0.0.1:1\", \"[::]:1\"}\nauth = {session, none}",
        "conf:2: auth: with none, any client that reaches [::]:1 can act as any user: set auth to "
        "jwt, "
        "session or header, or listen on 127.0.0.1 only, or set allow_insecure = true\n");
}

static void what_the_strings_mean(void **state)
{
    struct config *config = good("listen = {\"127.0.0.1:1\", \"unix:/s\"}\n"
                                 "admin = \"unix:/a\"\n"
                                 "redis = \"unix:///r?db=2\"\n"
                                 "auth = {\"header\", \"session\"}\n");

    (void)state;
    assert_int_equal(ntohs(((struct sockaddr_in *)&config->listen_at[0].addr)->sin_port), 1);
    assert_string_equal(config->listen_at[1].text, "unix:/s");
    assert_true(config->admin_at.is_unix);
    assert_string_equal(config->redis_at.host, "/r");
    assert_int_equal(config->redis_at.db, 2);
    assert_int_equal(config->auth_order[0], AUTH_HEADER);
    assert_int_equal(config->auth_order[1], AUTH_SESSION);
    config_free(config);

    config = good(LOOPBACK "admin = \"\"");
    assert_int_equal(config->admin_at.len, 0);
    config_free(config);
}

/* --- opcodes --- */

static void rules_by_rising_opcode(void **state)
{
    struct config *config =
        good(LOOPBACK "opcode 16777215 { to = drop }\n"
                      "opcode 110 { name = \"add-friend\" to = \"stream:push:requests\"\n"
                      "             payload = \"json\" max = 4096 rate = 10 }\n"
                      "opcode \"100\" { to = \"channel:c\" payload = utf8 }\n"
                      "opcode 101 { to = 'list:l' }\n"
                      "opcode 102 { to = echo }\n");

    (void)state;
    assert_int_equal(config->rule_count, 5);
    for (size_t i = 1; i < config->rule_count; i++)
        assert_true(config->rule[i - 1].op < config->rule[i].op);

    const struct opcode_rule *rule = config_rule(config, 110);
    assert_string_equal(rule->name, "add-friend");
    assert_int_equal(rule->target, TARGET_STREAM);
    assert_string_equal(rule->key, "push:requests");
    assert_int_equal(rule->payload, KIND_JSON);
    assert_int_equal(rule->max, 4096);
    assert_int_equal(rule->rate, 10);

    rule = config_rule(config, 100);
    assert_string_equal(rule->name, "");
    assert_int_equal(rule->target, TARGET_CHANNEL);
    assert_string_equal(rule->key, "c");
    assert_int_equal(rule->payload, KIND_UTF8);
    assert_int_equal(rule->max, 0);
    assert_int_equal(config_rule(config, 101)->target, TARGET_LIST);
    assert_int_equal(config_rule(config, 102)->target, TARGET_ECHO);
    assert_int_equal(config_rule(config, 102)->payload, KIND_ANY);
    assert_int_equal(config_rule(config, 16777215)->target, TARGET_DROP);
    assert_null(config_rule(config, 16777215)->key);
    assert_null(config_rule(config, 0));
    assert_null(config_rule(config, 103));
    assert_null(config_rule(config, UINT32_MAX));
    config_free(config);

    config = good(LOOPBACK);
    assert_null(config_rule(config, 110));
    config_free(config);
}

static void opcodes_that_are_wrong(void **state)
{
    static const char *const cases[][2] = {
        {"opcode 99 { to = echo }", "opcode: 99 is not an opcode from 100 to 16777215"},
        {"opcode 16777216 { to = echo }", "opcode: 16777216 is not an opcode from 100 to 16777215"},
        {"opcode 4294967396 { to = echo }",
         "opcode: 4294967396 is not an opcode from 100 to 16777215"},
        {"opcode -1 { to = echo }", "opcode: -1 is not an opcode from 100 to 16777215"},
        {"opcode add { to = echo }", "opcode: add is not an opcode from 100 to 16777215"},
        {"opcode \"\" { to = echo }", "opcode: \"\" is not an opcode from 100 to 16777215"},
        {"opcode { to = echo }", "opcode: must be written opcode NUMBER { ... }"},
        {"opcode = 110", "opcode: is a section: opcode { ... }"},
        {"opcode 110 { }",
         "opcode 110: to is missing: stream:KEY, channel:NAME, list:KEY, echo or drop"},
        {"opcode 110 { to = \"stream:\" }",
         "opcode 110: to: stream: is not one of: stream:KEY, channel:NAME, list:KEY, echo, drop"},
        {"opcode 110 { to = \"echo:x\" }",
         "opcode 110: to: echo:x is not one of: stream:KEY, channel:NAME, list:KEY, echo, drop"},
        {"opcode 110 { to = \"list:a b\" }",
         "opcode 110: to: \"list:a b\": a key has no white space and at most 512 bytes"},
        {"opcode 110 { to = echo payload = xml }",
         "opcode 110: payload: xml is not one of: any, utf8, json"},
        {"opcode 110 { to = echo max = 16777217 }",
         "opcode 110: max: 16777217 is above 16777216 bytes"},
        {"opcode 110 { to = echo rate = -1 }", "opcode 110: rate: -1 is below 0 requests a second"},
        {"opcode 110 { to = echo path = 1 }", "path: unknown key in section opcode"},
        {"opcode 110 { to = echo } opcode 0110 { to = drop }",
         "opcode: 110 is already declared in line 2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        bad_line(cases[i][0], cases[i][1]);
}

/* --- overrides --- */

static struct config *with_override(const char *text, const char *override)
{
    const struct config_override one = {override};

    write_file(text, strlen(text));
    return load_file(&one, 1);
}

static void bad_override(const char *override, const char *expected)
{
    char wanted[1024];

    snprintf(wanted, sizeof wanted, "-o %s: %s\n", override, expected);
    assert_null(with_override(LOOPBACK, override));
    assert_string_equal(messages, wanted);
}

static void overrides_come_last(void **state)
{
    const struct config_override several[] = {
        {"heartbeat=3"},       {"heartbeat=4"},
        {"session.prefix=x:"}, {"listen=127.0.0.1:1 proxy , unix:/s"},
        {"trusted_proxies="},  {"slow_policy=drop_oldest"},
        {"console=yes"},       {"node=a=b"},
        {"jwt.query=t"},
    };

    (void)state;
    write_file(LOOPBACK "heartbeat = 2", strlen(LOOPBACK "heartbeat = 2"));
    struct config *config = load_file(several, sizeof several / sizeof several[0]);
    assert_string_equal(messages, "");
    assert_int_equal(config->heartbeat, 4);
    assert_string_equal(config->session.prefix, "x:");
    assert_int_equal(config->listen.count, 2);
    assert_string_equal(config->listen.item[0], "127.0.0.1:1 proxy");
    assert_true(config->listen_at[0].proxy);
    assert_string_equal(config->listen.item[1], "unix:/s");
    assert_true(config->listen_at[1].is_unix);
    assert_int_equal(config->trusted_proxies.count, 0);
    assert_int_equal(config->slow_policy, SLOW_DROP_OLDEST);
    assert_true(config->console);
    assert_string_equal(config->node, "a=b");
    assert_string_equal(config->jwt.query, "t");
    config_free(config);
}

static void overrides_that_are_wrong(void **state)
{
    (void)state;
    bad_override("heartbeat=0", "heartbeat: 0 is below 1 second");
    bad_override("heartbeat", "is not of the form key=value");
    bad_override("=1", "unknown key");
    bad_override("hartbeat=1", "unknown key");
    bad_override("session=1", "unknown key");
    bad_override("session.x=1", "unknown key");
    bad_override("foo.prefix=1", "unknown key");
    bad_override("opcode.max=1", "opcodes can be declared only in push.conf");
    bad_override("session.prefix= ",
                 "session.prefix: \" \" contains white space or control characters");
    bad_override("listen=x",
                 "listen: x is not an address: write host:port, [::]:port or unix:/path");
    bad_override("listen=", "listen: expected at least one address, like 127.0.0.1:8080");
    bad_override("share_descriptors=no", "share_descriptors: false requires workers = 1");
    bad_override("echo_path=/ws", "echo_path: is the same as path: /ws");
}

static void a_mistake_in_both(void **state)
{
    (void)state;
    assert_null(with_override("watchdog = 0\n" LOOPBACK, "heartbeat=0"));
    assert_string_equal(messages, "conf:1: watchdog: 0 is below 1 second\n"
                                  "-o heartbeat=0: heartbeat: 0 is below 1 second\n");
}

static void the_description_names_every_key(void **state)
{
    char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);

    (void)state;
    config_describe(out);
    assert_int_equal(fclose(out), 0);
#define DESCRIBED(key, ...) assert_non_null(strstr(printed, "\n" #key " "));
    CONFIG_KEYS(DESCRIBED, DESCRIBED, DESCRIBED, DESCRIBED, DESCRIBED)
    assert_non_null(strstr(printed, "1 to 3600 seconds"));
    assert_non_null(strstr(printed, "session.prefix"));
    free(printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_says_what_to_do),
        cmocka_unit_test(defaults_are_the_table),
        cmocka_unit_test(every_number_has_its_bounds),
        cmocka_unit_test(every_word_of_an_enum),
        cmocka_unit_test(numbers_are_whole_and_decimal),
        cmocka_unit_test(truths),
        cmocka_unit_test(strings_of_the_wrong_form),
        cmocka_unit_test(a_prefix_has_64_bytes),
        cmocka_unit_test(keys_that_contradict),
        cmocka_unit_test(none_only_where_it_is_safe),
        cmocka_unit_test(what_the_strings_mean),
        cmocka_unit_test(rules_by_rising_opcode),
        cmocka_unit_test(opcodes_that_are_wrong),
        cmocka_unit_test(overrides_come_last),
        cmocka_unit_test(overrides_that_are_wrong),
        cmocka_unit_test(a_mistake_in_both),
        cmocka_unit_test(the_description_names_every_key),
    };
    return cmocka_run_group_tests_name("config", tests, make_file, remove_file);
}
