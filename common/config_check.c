/*
 * Checks keys against each other: keys that contradict each other, or that need another key. Also
 * parses the addresses and networks into the structs that the server uses. Ignores values that
 * config_value.c has already reported as invalid.
 */
#include "common/config_internal.h"

#include <stdlib.h>
#include <string.h>

static const struct config_origin *origin_of_key(const struct config_load *load, const char *name)
{
    const struct config_section *root = &config_sections[SECTION_ROOT];

    return &load->origin[config_key_find(root, name, strlen(name)) - root->key];
}

#define REPORT(load, key, ...) config_problem(load, *origin_of_key(load, key), key, __VA_ARGS__)

static bool config_uses_auth(const struct config *config, enum auth_method method)
{
    for (size_t i = 0; i < config->auth.count; i++)
        if (config->auth_order[i] == method)
            return true;
    return false;
}

/* True if both are the same socket address, however it is written. */
static bool is_same_address(const struct listen_address *a, const struct listen_address *b)
{
    return a->len > 0 && a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}

static void check_listen_addresses(struct config_load *load, const struct config *config)
{
    if (config->listen.count == 0)
        REPORT(load, "listen", "expected at least one address, like 127.0.0.1:8080");
    for (size_t i = 0; i < config->listen.count; i++)
        for (size_t j = 0; j < i; j++)
            if (is_same_address(&config->listen_at[i], &config->listen_at[j]))
                REPORT(load, "listen", "%s is listed twice", config_quoted(config->listen.item[i]));
}

static void check_endpoint_paths(struct config_load *load, const struct config *config)
{
    if (*config->echo_path != '\0' && strcmp(config->echo_path, config->path) == 0)
        REPORT(load, "echo_path", "is the same as path: %s", config_quoted(config->path));
    if (config->console && strcmp(config->path, "/") == 0)
        REPORT(load, "path",
               "/ is used by the console: choose another path, or set console = false");
    if (config->console && strcmp(config->echo_path, "/") == 0)
        REPORT(load, "echo_path", "/ is used by the console");
}

static void check_insecure_auth(struct config_load *load, const struct config *config)
{
    if (!config_uses_auth(config, AUTH_NONE) || config->allow_insecure)
        return;
    for (size_t i = 0; i < config->listen.count; i++) {
        if (config->listen_at[i].len == 0 || config->listen_at[i].loopback)
            continue;
        REPORT(load, "auth",
               "with none, any client that reaches %s can act as any user: set auth to jwt, "
               "session or "
               "header, or listen on 127.0.0.1 only, or set allow_insecure = true",
               config_quoted(config->listen.item[i]));
        return;
    }
}

static void check_admin_access(struct config_load *load, const struct config *config)
{
    if (config->admin_at.len == 0 || config->admin_at.loopback || *config->admin_token != '\0' ||
        config->allow_insecure)
        return;
    REPORT(load, "admin",
           "any client that reaches %s can push to every user and stop the server: set "
           "admin_token, or "
           "listen on 127.0.0.1 or a unix socket only, or set allow_insecure = true",
           config_quoted(config->admin));
}

static void load_jwt_key(struct config_load *load, struct config *config)
{
    char why[JWT_KEY_WHY_MAX];

    if (*config->jwt.key_file == '\0') {
        REPORT(load, "auth", "jwt needs a key: jwt { key_file = \"...\" }");
        return;
    }
    if (config_word_find(config_jwt_algorithms, config->jwt.algorithm) < 0)
        return;
    config->jwt_key = jwt_key_load(config->jwt.key_file, config->jwt.algorithm, why);
    if (!config->jwt_key)
        REPORT(load, "auth", "jwt.key_file %s: %s", config_quoted(config->jwt.key_file), why);
}

static void check_session_keys(struct config_load *load, const struct config *config)
{
    if (*config->session.cookie == '\0' && *config->session.header == '\0')
        REPORT(load, "auth", "session needs a cookie or a header: session { cookie = \"sid\" }");
    if (config->auth_timeout >= config->handshake_timeout)
        REPORT(load, "auth_timeout", "must be shorter than handshake_timeout (%u seconds)",
               config->handshake_timeout);
}

static void check_auth_methods(struct config_load *load, struct config *config)
{
    if (config->auth.count == 0)
        REPORT(load, "auth", "expected at least one method: jwt, session, header or none");
    for (size_t i = 0; i < config->auth.count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(config->auth.item[i], config->auth.item[j]) == 0)
                REPORT(load, "auth", "%s is listed twice", config_quoted(config->auth.item[i]));

    if (config_uses_auth(config, AUTH_JWT))
        load_jwt_key(load, config);
    if (config_uses_auth(config, AUTH_SESSION))
        check_session_keys(load, config);
    if (config_uses_auth(config, AUTH_HEADER) && *config->header.name == '\0')
        REPORT(load, "auth", "header needs its name: header { name = \"X-Auth-User\" }");
    check_insecure_auth(load, config);
}

static void check_process_keys(struct config_load *load, const struct config *config)
{
    if (!config->share_descriptors && config->workers != 1)
        REPORT(load, "share_descriptors", "false requires workers = 1");
}

static void check_opcode_rules(struct config_load *load, const struct config *config)
{
    for (size_t i = 0; i < load->opcode_count; i++) {
        const struct config_opcode_seen *seen = &load->opcode[i];
        const struct opcode_rule *rule = config_rule(config, seen->op);

        if (rule && !rule->key && rule->target != TARGET_ECHO && rule->target != TARGET_DROP)
            config_problem(load, (struct config_origin){.line = seen->line}, NULL,
                           "opcode %u: to is missing: stream:KEY, channel:NAME, list:KEY, echo or "
                           "drop",
                           seen->op);
    }
}

/* Allocates at least one element, so that NULL always means that memory ran out. */
static void *allocate_array(size_t count, size_t size)
{
    return calloc(count ? count : 1, size);
}

static bool parse_list_keys(struct config *config)
{
    char why[CONFIG_WHY_MAX];

    config->listen_at = allocate_array(config->listen.count, sizeof *config->listen_at);
    config->auth_order = allocate_array(config->auth.count, sizeof *config->auth_order);
    config->trusted = allocate_array(config->trusted_proxies.count, sizeof *config->trusted);
    if (!config->listen_at || !config->auth_order || !config->trusted)
        return false;

    for (size_t i = 0; i < config->listen.count; i++)
        if (!config_parse_listen(config->listen.item[i], &config->listen_at[i], why))
            config->listen_at[i].len = 0;
    for (size_t i = 0; i < config->auth.count; i++) {
        const int method = config_word_find(config_auth_words, config->auth.item[i]);

        config->auth_order[i] = method < 0 ? AUTH_METHOD_COUNT : (enum auth_method)method;
    }
    for (size_t i = 0; i < config->trusted_proxies.count; i++)
        (void)config_parse_network(config->trusted_proxies.item[i], &config->trusted[i], why);
    return true;
}

bool config_check(struct config_load *load, struct config *config)
{
    char why[CONFIG_WHY_MAX];

    if (!parse_list_keys(config))
        return false;
    if (*config->admin != '\0' && !config_parse_listen(config->admin, &config->admin_at, why))
        config->admin_at.len = 0;
    (void)config_parse_redis(config->redis, &config->redis_at, why);

    check_listen_addresses(load, config);
    check_admin_access(load, config);
    check_endpoint_paths(load, config);
    check_auth_methods(load, config);
    check_process_keys(load, config);
    check_opcode_rules(load, config);
    return true;
}
