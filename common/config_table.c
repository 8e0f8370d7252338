/*
 * The table of config_keys.h as data, and the keys of the sections. libconfuse's options, the
 * bounds, the copy into struct config, `wspushd -k`, and the check of push.conf and the documents
 * all use these rows. To add a key, add one row to config_keys.h; config.h generates its field. For
 * a key of a section add the row here and the field in config.h.
 */
#include "common/config_internal.h"

#include <stdio.h>
#include <string.h>

#define WORD(name, word) word,

static const char *const payload_words[] = {PAYLOAD_KINDS(WORD) NULL};
const char *const config_auth_words[] = {AUTH_METHODS(WORD) NULL};
#define ALGORITHM_WORD(name, ...) #name,
const char *const config_jwt_algorithms[] = {JWT_ALGORITHMS(ALGORITHM_WORD) NULL};

/* Defines the word list of each ENUM: words_slow_policy and so on. */
#define NO_WORDS(...)
#define ENUM_WORDS(key, initial, values, ...) \
    static const char *const words_##key[] = {values(WORD) NULL};
CONFIG_KEYS(NO_WORDS, NO_WORDS, NO_WORDS, ENUM_WORDS, NO_WORDS)

/* clang-format off */
#define ROW(field, key_, kind_, change_, help_)                                                    \
    .name = #key_, .kind = (kind_), .change = (change_), .offset = (field), .help = (help_)
#define ROOT(key) offsetof(struct config, key)

#define INT_ROW(key, initial, low, high, unit_, change, help)                                      \
    {ROW(ROOT(key), key, KEY_INT, change, help),                                                   \
     .number = (initial), .least = (low), .most = (high), .unit = (unit_)},
#define BOOL_ROW(key, initial, change, help)                                                       \
    {ROW(ROOT(key), key, KEY_BOOL, change, help), .number = (initial)},
#define STR_ROW(key, initial, change, help)                                                        \
    {ROW(ROOT(key), key, KEY_STR, change, help), .text = (initial)},
#define ENUM_ROW(key, initial, values, change, help)                                               \
    {ROW(ROOT(key), key, KEY_ENUM, change, help), .number = (initial), .words = words_##key},
/* The initialisers of a list's default are also its syntax in push.conf, except {NULL}. */
#define LIST_ROW(key, initial, change, help)                                                       \
    {ROW(ROOT(key), key, KEY_LIST, change, help),                                                  \
     .text = #initial},

#define SECTION_STR(section, key, initial, help)                                                   \
    {ROW(offsetof(struct config, section.key), key, KEY_STR, RELOAD, help), .text = (initial)}

#define SECTION_INT(section, key, initial, low, high, unit_, help)                                 \
    {ROW(offsetof(struct config, section.key), key, KEY_INT, RELOAD, help), .number = (initial),   \
     .least = (low), .most = (high), .unit = (unit_)}

static const struct config_key header_keys[] = {
    SECTION_STR(header, name, "X-Auth-User", "header in which a trusted proxy names the user"),
};

static const struct config_key jwt_keys[] = {
    SECTION_STR(jwt, key_file, "", "file with the shared secret (HS) or the public key in PEM (RS, ES)"),
    SECTION_STR(jwt, algorithm, "HS256", "the only algorithm accepted: HS256, HS384, HS512, RS256, ES256"),
    SECTION_STR(jwt, cookie, "token", "cookie that may hold the token; empty: none"),
    SECTION_STR(jwt, query, "", "query parameter that may hold the token; empty: none"),
    SECTION_STR(jwt, audience, "", "required audience (aud); empty: not checked"),
    SECTION_STR(jwt, issuer, "", "required issuer (iss); empty: not checked"),
    SECTION_INT(jwt, leeway, 0, 0, 60, "seconds", "tolerated clock skew of the login service when exp and nbf are checked"),
};

static const struct config_key session_keys[] = {
    SECTION_STR(session, cookie, "sid", "cookie that holds the session; empty: none"),
    SECTION_STR(session, header, "", "header that holds the session; empty: none"),
    SECTION_STR(session, prefix, "session:", "prefix of the session's key in Redis"),
};

#define RULE(field) offsetof(struct opcode_rule, field)
static const struct config_key opcode_keys[] = {
    {ROW(RULE(name), name, KEY_STR, RELOAD, "its name in the log and in statistics"), .text = ""},
    {ROW(CONFIG_NO_FIELD, to, KEY_STR, RELOAD,
         "where requests go: stream:KEY, channel:NAME, list:KEY, echo or drop"), .text = ""},
    {ROW(RULE(payload), payload, KEY_ENUM, RELOAD, "required form of the payload"),
     .number = KIND_ANY, .words = payload_words},
    {ROW(RULE(max), max, KEY_INT, RELOAD, "largest payload; 0: only max_message applies"),
     .most = 16777216, .unit = "bytes"},
    {ROW(RULE(rate), rate, KEY_INT, RELOAD, "requests per second on one connection; 0: no limit"),
     .most = 1000000, .unit = "requests a second"},
};
/* clang-format on */

static const struct config_key root_keys[] = {
    CONFIG_KEYS(INT_ROW, BOOL_ROW, STR_ROW, ENUM_ROW, LIST_ROW)};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SECTION(name, keys, titled)           \
    {                                         \
        (name), (titled), COUNT(keys), (keys) \
    }

_Static_assert(COUNT(root_keys) <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX holds the whole table");

const struct config_section config_sections[SECTION_COUNT] = {
    [SECTION_ROOT] = SECTION("root", root_keys, false),
    [SECTION_HEADER] = SECTION("header", header_keys, false),
    [SECTION_JWT] = SECTION("jwt", jwt_keys, false),
    [SECTION_SESSION] = SECTION("session", session_keys, false),
    [SECTION_OPCODE] = SECTION("opcode", opcode_keys, true),
};

static bool name_is_equal(const char *name, const char *text, size_t len)
{
    return strlen(name) == len && memcmp(name, text, len) == 0;
}

const struct config_section *config_section_find(const char *name, size_t len)
{
    for (size_t i = SECTION_ROOT + 1; i < SECTION_COUNT; i++)
        if (name_is_equal(config_sections[i].name, name, len))
            return &config_sections[i];
    return NULL;
}

const struct config_key *config_key_find(const struct config_section *section, const char *name,
                                         size_t len)
{
    for (size_t i = 0; i < section->count; i++)
        if (name_is_equal(section->key[i].name, name, len))
            return &section->key[i];
    return NULL;
}

int config_word_find(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

const char *config_words_text(const char *const *words, const char *separator, char *out,
                              size_t size)
{
    size_t len = 0;

    *out = '\0';
    for (size_t i = 0; words[i] && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? separator : "", words[i]);
    return out;
}

char *config_list_default(const struct config_key *key)
{
    static char empty[] = "{}";

    return strcmp(key->text, "{NULL}") == 0 ? empty : key->text;
}

const char *config_default_text(const struct config_key *key, char *out, size_t size)
{
    switch (key->kind) {
    case KEY_INT:
        snprintf(out, size, "%ld", key->number);
        break;
    case KEY_BOOL:
        snprintf(out, size, "%s", key->number ? "true" : "false");
        break;
    case KEY_STR:
        snprintf(out, size, "\"%s\"", key->text);
        break;
    case KEY_ENUM:
        snprintf(out, size, "\"%s\"", key->words[key->number]);
        break;
    case KEY_LIST:
        snprintf(out, size, "%s", config_list_default(key));
        break;
    }
    return out;
}
