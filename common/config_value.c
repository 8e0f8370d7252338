/*
 * Checks one value of push.conf or of an override: its type, its bounds and its form. An invalid
 * value is reported with its place, but libconfuse is told that it is valid, so that parsing
 * continues and finds further errors. A load with an error yields no configuration, so it does not
 * matter which value the option then has.
 */
#include "common/config_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum { PREFIX_MAX = 64, NODE_MAX = 63, TARGET_KEY_MAX = 512, NAME_MAX_LEN = 63 };
enum { TOPIC_PATTERN_MAX = 128 };

struct config_load *config_loading;

bool config_parse_u32(const char *text, size_t len, uint32_t *out)
{
    uint64_t number = 0;

    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text[i] - '0');
        if (number > UINT32_MAX)
            return false;
    }
    *out = (uint32_t)number;
    return true;
}

bool config_refuse(char *why, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, CONFIG_WHY_MAX, fmt, args);
    va_end(args);
    return false;
}

const char *config_quoted(const char *value)
{
    return log_quote(value, strlen(value));
}

/* True if the text has no white space and no control characters; UTF-8 is allowed. */
static bool is_visible_text(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

static bool check_listen_form(const char *value, char *why)
{
    struct listen_address address;

    return config_parse_listen(value, &address, why);
}

static bool check_admin_form(const char *value, char *why)
{
    struct listen_address address;

    if (*value == '\0')
        return true;
    if (!config_parse_listen(value, &address, why))
        return false;
    return !address.proxy ||
           config_refuse(why, "%s: the admin interface does not speak the PROXY protocol",
                         config_quoted(value));
}

/* Checks permissions as chmod(1) accepts them: 3 or 4 octal digits, without the special bits. */
static bool check_mode_form(const char *value, char *why)
{
    const size_t len = strlen(value);

    if (len == 0 ||
        ((len == 3 || (len == 4 && *value == '0')) && value[strspn(value, "01234567")] == '\0'))
        return true;
    return config_refuse(why, "%s is not a mode: write it in octal, like \"0660\"",
                         config_quoted(value));
}

/* Checks a token that is sent in a header field (RFC 6750 §2.1), where white space would end it. */
static bool check_admin_token_form(const char *value, char *why)
{
    for (const char *at = value; *at; at++)
        if (*at <= ' ' || *at > '~')
            return config_refuse(why,
                                 "a token may contain only visible ASCII, without white space");
    return true;
}

static bool check_admin_host_form(const char *value, char *why)
{
    if (*value == '\0' || strpbrk(value, ":/?#@*[]") || !is_visible_text(value))
        return config_refuse(why,
                             "%s is not a host name: write admin.example.org, without a "
                             "port",
                             config_quoted(value));
    return true;
}

static bool check_redis_form(const char *value, char *why)
{
    struct redis_address redis;

    if (!config_parse_redis(value, &redis, why))
        return false;
    config_redis_free(&redis);
    return true;
}

static bool check_network_form(const char *value, char *why)
{
    struct network network;

    return config_parse_network(value, &network, why);
}

/* Targets of requests. */

static const struct {
    const char *word;
    enum request_target target;
    bool has_key;
} targets[] = {
    {"stream:", TARGET_STREAM, true}, {"channel:", TARGET_CHANNEL, true},
    {"list:", TARGET_LIST, true},     {"echo", TARGET_ECHO, false},
    {"drop", TARGET_DROP, false},
};

bool config_parse_target(const char *text, enum request_target *target, const char **key, char *why)
{
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        const char *const rest = text + strlen(targets[i].word);

        if (strncmp(text, targets[i].word, strlen(targets[i].word)) != 0 ||
            (*rest != '\0') != targets[i].has_key)
            continue;
        *target = targets[i].target;
        *key = targets[i].has_key ? rest : NULL;
        return true;
    }
    return config_refuse(why, "%s is not one of: stream:KEY, channel:NAME, list:KEY, echo, drop",
                         config_quoted(text));
}

static bool check_target_form(const char *value, char *why)
{
    enum request_target target;
    const char *key = NULL;

    if (!config_parse_target(value, &target, &key, why))
        return false;
    if (key && (!is_visible_text(key) || strlen(key) > TARGET_KEY_MAX))
        return config_refuse(why, "%s: a key has no white space and at most %d bytes",
                             config_quoted(value), TARGET_KEY_MAX);
    return true;
}

static bool check_path_form(const char *value, char *why)
{
    if (*value != '/')
        return config_refuse(why, "%s does not begin with /", config_quoted(value));
    if (!is_visible_text(value) || strpbrk(value, "?#"))
        return config_refuse(why, "%s: a path must not contain white space, ? or #",
                             config_quoted(value));
    return true;
}

static bool check_echo_path_form(const char *value, char *why)
{
    return *value == '\0' || check_path_form(value, why);
}

static bool check_prefix_form(const char *value, char *why)
{
    const size_t len = strlen(value);

    if (len > PREFIX_MAX)
        return config_refuse(why, "%s is longer than %d bytes", config_quoted(value), PREFIX_MAX);
    if (!is_visible_text(value))
        return config_refuse(why, "%s contains white space or control characters",
                             config_quoted(value));
    return true;
}

static bool check_node_form(const char *value, char *why)
{
    if (strlen(value) > NODE_MAX || !is_visible_text(value))
        return config_refuse(why, "%s: a node's name has at most %d bytes and no white space",
                             config_quoted(value), NODE_MAX);
    return true;
}

/* True if the host has no star, or only one that is its whole first label: "*.example.net". */
static bool star_is_label(const char *host)
{
    const char *star = strchr(host, '*');

    return !star || (star == host && host[1] == '.' && host[2] != '\0' && !strchr(host + 2, '*'));
}

/* Checks an origin as browsers send it (RFC 6454 §6.2): scheme "://" host [ ":" port ], or one of
 * the words that they send for pages without an origin of their own. */
static bool check_origin_form(const char *value, char *why)
{
    static const char *const words[] = {"*", "null", "file://", NULL};
    const char *host = strstr(value, "://");

    if (config_word_find(words, value) >= 0)
        return true;
    if (!host || host == value || host[3] == '\0' || strpbrk(host + 3, "/?#@") ||
        !is_visible_text(value))
        return config_refuse(why,
                             "%s is not an origin: write https://app.example.org, without a path, "
                             "or \"*\", \"null\", \"file://\"",
                             config_quoted(value));
    if (!star_is_label(host + 3))
        return config_refuse(why,
                             "%s: a * may replace only the whole first label, as in "
                             "https://*.example.org, or stand alone for any origin",
                             config_quoted(value));
    return true;
}

/* Checks a pattern of topics; proto/topic.h explains its braces and stars. */
static bool check_topic_form(const char *value, char *why)
{
    static const char hole[] = "{user}";

    if (*value == '\0' || strlen(value) > TOPIC_PATTERN_MAX || !is_visible_text(value))
        return config_refuse(why, "%s: a pattern has 1 to %d bytes and no white space",
                             config_quoted(value), TOPIC_PATTERN_MAX);
    for (const char *at = value; (at = strpbrk(at, "{}")); at += strlen(hole))
        if (strncmp(at, hole, strlen(hole)) != 0)
            return config_refuse(why, "%s: the only placeholder is {user}", config_quoted(value));
    return true;
}

static bool check_auth_form(const char *value, char *why)
{
    char words[64];

    if (config_word_find(config_auth_words, value) >= 0)
        return true;
    return config_refuse(why, "%s is not one of: %s", config_quoted(value),
                         config_words_text(config_auth_words, ", ", words, sizeof words));
}

static bool check_algorithm_form(const char *value, char *why)
{
    char words[64];

    if (config_word_find(config_jwt_algorithms, value) >= 0)
        return true;
    return config_refuse(why, "%s is not one of: %s", config_quoted(value),
                         config_words_text(config_jwt_algorithms, ", ", words, sizeof words));
}

/* Checks the name of a header or cookie: a token (RFC 9110 §5.6.2), or empty for none. */
static bool check_token_form(const char *value, char *why)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    if (value[strspn(value, token)] != '\0')
        return config_refuse(why, "%s is not a valid header or cookie name", config_quoted(value));
    return true;
}

static bool check_rule_name_form(const char *value, char *why)
{
    if (strlen(value) > NAME_MAX_LEN || !is_visible_text(value))
        return config_refuse(why, "%s: a name has at most %d bytes and no white space",
                             config_quoted(value), NAME_MAX_LEN);
    return true;
}

/* The string keys whose values have a special form. */
static const struct {
    enum config_section_id section;
    const char *key;
    bool (*check)(const char *value, char *why);
} text_checks[] = {
    {SECTION_ROOT, "listen", check_listen_form},
    {SECTION_ROOT, "path", check_path_form},
    {SECTION_ROOT, "echo_path", check_echo_path_form},
    {SECTION_ROOT, "admin", check_admin_form},
    {SECTION_ROOT, "redis", check_redis_form},
    {SECTION_ROOT, "prefix", check_prefix_form},
    {SECTION_ROOT, "origins", check_origin_form},
    {SECTION_ROOT, "trusted_proxies", check_network_form},
    {SECTION_ROOT, "auth", check_auth_form},
    {SECTION_ROOT, "node", check_node_form},
    {SECTION_HEADER, "name", check_token_form},
    {SECTION_JWT, "algorithm", check_algorithm_form},
    {SECTION_JWT, "cookie", check_token_form},
    {SECTION_SESSION, "cookie", check_token_form},
    {SECTION_SESSION, "header", check_token_form},
    {SECTION_SESSION, "prefix", check_prefix_form},
    {SECTION_OPCODE, "name", check_rule_name_form},
    {SECTION_OPCODE, "to", check_target_form},
    {SECTION_ROOT, "topics", check_topic_form},
    {SECTION_ROOT, "admin_token", check_admin_token_form},
    {SECTION_ROOT, "admin_hosts", check_admin_host_form},
    {SECTION_ROOT, "listen_mode", check_mode_form},
    {SECTION_ROOT, "admin_mode", check_mode_form},
};

static bool check_text_form(const struct config_section *section, const struct config_key *key,
                            const char *value, char *why)
{
    for (size_t i = 0; i < sizeof text_checks / sizeof text_checks[0]; i++)
        if (&config_sections[text_checks[i].section] == section &&
            strcmp(text_checks[i].key, key->name) == 0)
            return text_checks[i].check(value, why);
    return true;
}

/* Writes a bound with its unit to `out`: "1 second", "16777216 bytes". */
static const char *write_bound_text(const struct config_key *key, long bound, char *out,
                                    size_t size)
{
    const size_t len = strlen(key->unit);
    const bool one = bound == 1 && len > 0 && key->unit[len - 1] == 's';

    snprintf(out, size, "%ld %.*s", bound, (int)(len - one), key->unit);
    return out;
}

static bool check_number_bounds(const struct config_key *key, const char *value, char *why)
{
    const bool negative = *value == '-';
    const size_t digits = strspn(value + negative, "0123456789");
    char bound[64];

    if (digits == 0 || value[negative + digits] != '\0')
        return config_refuse(why, "%s is not a whole number of %s (%ld to %ld)",
                             config_quoted(value), key->unit, key->least, key->most);

    errno = 0;
    const long number = strtol(value, NULL, 10); /* on overflow the nearest long: out of bounds */
    if (number < key->least)
        return config_refuse(why, "%s is below %s", config_quoted(value),
                             write_bound_text(key, key->least, bound, sizeof bound));
    if (number > key->most)
        return config_refuse(why, "%s is above %s", config_quoted(value),
                             write_bound_text(key, key->most, bound, sizeof bound));
    return true;
}

static bool check_enum_word(const struct config_key *key, const char *value, char *why)
{
    char words[128];

    if (config_word_find(key->words, value) >= 0)
        return true;
    return config_refuse(why, "%s is not one of: %s", config_quoted(value),
                         config_words_text(key->words, ", ", words, sizeof words));
}

bool config_value_check(const struct config_section *section, const struct config_key *key,
                        const char *value, char *why)
{
    switch (key->kind) {
    case KEY_INT:
        return check_number_bounds(key, value, why);
    case KEY_ENUM:
        return check_enum_word(key, value, why);
    case KEY_BOOL:
        return cfg_parse_boolean(value) >= 0 ||
               config_refuse(why, "%s is neither true nor false", config_quoted(value));
    case KEY_STR:
    case KEY_LIST:
        break;
    }
    return check_text_form(section, key, value, why);
}

/* Writes a key's name with its section to `out`: "heartbeat", "session.prefix", "opcode 110: max".
 */
static const char *write_full_name(const cfg_t *cfg, const struct config_section *section,
                                   const struct config_key *key, char *out, size_t size)
{
    if (section == &config_sections[SECTION_ROOT])
        snprintf(out, size, "%s", key->name);
    else if (section->titled)
        snprintf(out, size, "%s %s: %s", section->name, cfg->title, key->name);
    else
        snprintf(out, size, "%s.%s", section->name, key->name);
    return out;
}

/* Checks the value of an option. Returns its key, or NULL after reporting an invalid value. */
static const struct config_key *check_option_value(const cfg_t *cfg, const cfg_opt_t *opt,
                                                   const char *value)
{
    struct config_load *const load = config_loading;
    const struct config_section *section = config_section_find(cfg->name, strlen(cfg->name));
    const struct config_origin origin = {.line = cfg->line, .override = load->override};
    char why[CONFIG_WHY_MAX], name[128];

    if (!section)
        section = &config_sections[SECTION_ROOT];

    const struct config_key *key = config_key_find(section, opt->name, strlen(opt->name));
    if (config_value_check(section, key, value, why))
        return key;
    config_problem(load, origin, write_full_name(cfg, section, key, name, sizeof name), "%s", why);
    return NULL;
}

int config_parse_number(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    const struct config_key *key = check_option_value(cfg, opt, value);
    long *const number = result;

    *number = 0;
    if (key)
        *number =
            key->kind == KEY_ENUM ? config_word_find(key->words, value) : strtol(value, NULL, 10);
    return 0;
}

/* Stores an int, which libconfuse expects here although its manual says cfg_bool_t. */
int config_parse_bool(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    int *const boolean = result;

    *boolean = check_option_value(cfg, opt, value) ? cfg_parse_boolean(value) : 0;
    return 0;
}

/* True if the key's value is a file name. */
static bool is_path_key(const struct config_key *key)
{
    static const struct {
        enum config_section_id section;
        const char *key;
    } path_keys[] = {{SECTION_ROOT, "log"}, {SECTION_JWT, "key_file"}};

    for (size_t i = 0; i < sizeof path_keys / sizeof path_keys[0]; i++) {
        const struct config_section *section = &config_sections[path_keys[i].section];

        if (config_key_find(section, path_keys[i].key, strlen(path_keys[i].key)) == key)
            return true;
    }
    return false;
}

/* Returns the path relative to the folder of push.conf, in a static buffer, or the path itself if
 * it is absolute, empty or too long. The working directory may be any: a shell's, or systemd's "/".
 */
static const char *path_relative_to_conf(const char *conf, const char *path)
{
    static char text[PATH_MAX];
    const char *const slash = strrchr(conf, '/');
    const int folder = slash ? (int)(slash + 1 - conf) : 0;

    if (*path == '/' || *path == '\0' ||
        snprintf(text, sizeof text, "%.*s%s", folder, conf, path) >= (int)sizeof text)
        return path;
    return text;
}

/* Returns the text in *result; libconfuse copies it. */
int config_parse_text(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    const char **const text = result;
    const struct config_key *const key = check_option_value(cfg, opt, value);

    *text = value;
    if (key && is_path_key(key) && !config_loading->override)
        *text = path_relative_to_conf(config_loading->path, value);
    return 0;
}
