/*
 * See console_settings.h. The page shows a redis-cli command that publishes through this server's
 * Redis, the opcodes of push.conf, the login methods, and whether the server is ready.
 */
#include "worker/console_settings.h"

#include "worker/node.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { REDIS_PORT = 6379 /* redis-cli's default */ };

/* Writes `text` quoted as one word for a shell. */
static void write_shell_word(FILE *out, const char *text)
{
    const char *at = text;
    while (*at && (isalnum((unsigned char)*at) || strchr("._/:-", *at)))
        at++;
    if (*at == '\0' && *text) {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (at = text; *at; at++)
        fputs(*at == '\'' ? "'\\''" : (const char[]){*at, '\0'}, out);
    fputc('\'', out);
}

/* Returns the redis-cli(1) command line for this server's Redis, without the password. */
static json_t *redis_cli_command(const struct redis_address *redis)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("redis-cli", out);
    if (redis->is_unix || strcmp(redis->host, "127.0.0.1") != 0) {
        fputs(redis->is_unix ? " -s " : " -h ", out);
        write_shell_word(out, redis->host);
    }
    if (!redis->is_unix && redis->port != REDIS_PORT)
        fprintf(out, " -p %u", redis->port);
    if (redis->user) {
        fputs(" --user ", out);
        write_shell_word(out, redis->user);
    }
    if (redis->password)
        fputs(" --askpass", out);
    fclose(out);
    json_t *command = json_string(text);
    free(text);
    return command;
}

static json_t *opcode_rules_json(const struct config *config)
{
    static const char *const kinds[] = {
#define KIND_WORD(name, word) [name] = (word),
        PAYLOAD_KINDS(KIND_WORD)
#undef KIND_WORD
    };
    json_t *list = json_array();
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct opcode_rule *rule = &config->rule[i];
        json_array_append_new(list, json_pack("{s:I, s:s, s:s}", "op", (json_int_t)rule->op, "name",
                                              rule->name ? rule->name : "", "payload",
                                              kinds[rule->payload]));
    }
    return list;
}

static json_t *string_list_json(const struct string_list *strings)
{
    json_t *list = json_array();
    for (size_t i = 0; i < strings->count; i++)
        json_array_append_new(list, json_string(strings->item[i]));
    return list;
}

json_t *console_settings(const struct worker *worker)
{
    const struct config *config = worker->config;
    const char *why = NULL;
    const bool ready = node_serves(worker, &why);
    return json_pack("{s:s, s:s, s:b, s:s*, s:o, s:s, s:o, s:{s:s, s:s}, s:{s:s}, s:o, s:o}",
                     "path", config->path, "node", worker->segment->header->node, "ready", ready,
                     "why", ready ? NULL : why, "publish", redis_cli_command(&config->redis_at),
                     "prefix", config->prefix, "auth", string_list_json(&config->auth), "jwt",
                     "cookie", config->jwt.cookie, "query", config->jwt.query, "session", "cookie",
                     config->session.cookie, "topics", string_list_json(&config->topics), "opcodes",
                     opcode_rules_json(config));
}
