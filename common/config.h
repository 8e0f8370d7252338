/*
 * The configuration: push.conf, parsed by libconfuse and checked against the table in
 * config_keys.h. The master reads it before it forks workers; they inherit it and never change it.
 */
#ifndef WSPUSHD_COMMON_CONFIG_H
#define WSPUSHD_COMMON_CONFIG_H

#include "common/config_keys.h"
#include "common/jwt_key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#define CONFIG_ENUM_VALUE(name, word) name,
enum slow_policy { SLOW_POLICIES(CONFIG_ENUM_VALUE) };
enum device_policy { DEVICE_POLICIES(CONFIG_ENUM_VALUE) };
enum config_log_level { LOG_LEVELS(CONFIG_ENUM_VALUE) };
enum auth_method { AUTH_METHODS(CONFIG_ENUM_VALUE) AUTH_METHOD_COUNT };
enum payload_kind { PAYLOAD_KINDS(CONFIG_ENUM_VALUE) };
#undef CONFIG_ENUM_VALUE

struct string_list {
    size_t count;
    char **item;
};

/* The destination of requests with an application opcode. */
enum request_target { TARGET_STREAM, TARGET_CHANNEL, TARGET_LIST, TARGET_ECHO, TARGET_DROP };

/* One `opcode N { ... }` section. */
struct opcode_rule {
    uint32_t op;
    char *name;
    enum request_target target;
    char *key; /* Redis key of the stream or list, or the channel's name; NULL for echo and drop */
    enum payload_kind payload;
    uint32_t max;  /* bytes of payload; 0: only max_message applies */
    uint32_t rate; /* requests per second on one connection; 0: no limit */
};

/* A parsed address to listen on. */
struct listen_address {
    struct sockaddr_storage addr;
    socklen_t len;
    bool loopback; /* 127.0.0.0/8, ::1 or a unix socket */
    bool is_unix;
    bool proxy;       /* trusted peers send a PROXY header first */
    const char *text; /* as written in push.conf; borrowed */
};

/* A parsed redis URL; the strings are owned. */
struct redis_address {
    bool is_unix;
    char *host; /* or the socket's path */
    uint16_t port;
    char *user, *password; /* percent-decoded; NULL if not given */
    unsigned db;
};

/* Writes the URL without the password to `out`, for logs and answers, cut at `size` bytes:
 * "redis://app@127.0.0.1:6379/0", "unix:///run/redis.sock?db=0". Returns `out`. */
const char *config_redis_text(const struct redis_address *redis, char *out, size_t size);

/* A network in CIDR notation; IPv4 is stored as ::ffff:a.b.c.d. */
struct network {
    uint8_t address[16];
    unsigned bits; /* 0 to 128 */
};

struct config {
    char *text; /* the file's contents with comments blanked, as config_scan leaves them */
#define FIELD_INT(key, ...)  uint32_t key;
#define FIELD_BOOL(key, ...) bool key;
#define FIELD_STR(key, ...)  char *key;
#define FIELD_ENUM(key, ...) int key;
#define FIELD_LIST(key, ...) struct string_list key;
    CONFIG_KEYS(FIELD_INT, FIELD_BOOL, FIELD_STR, FIELD_ENUM, FIELD_LIST)
#undef FIELD_INT
#undef FIELD_BOOL
#undef FIELD_STR
#undef FIELD_ENUM
#undef FIELD_LIST

    struct {
        char *name; /* of the header in which a trusted proxy names the user */
    } header;
    struct {
        char *key_file, *algorithm, *cookie, *query, *audience, *issuer;
        uint32_t leeway; /* seconds */
    } jwt;
    struct {
        char *cookie, *header, *prefix;
    } session;

    /* Parsed from the strings above when the file is read. */
    struct listen_address *listen_at;
    struct listen_address admin_at; /* len 0: none */
    struct redis_address redis_at;
    enum auth_method *auth_order;
    struct network *trusted;
    struct jwt_key *jwt_key; /* NULL if auth does not list jwt */
    size_t rule_count;
    struct opcode_rule *rule; /* sorted by opcode */
};

/* An override from the command line: "-o heartbeat=1". */
struct config_override {
    const char *text;
};

/*
 * Reads and checks `path`, then applies `count` overrides in order (a list's items are separated by
 * commas). Prints every error, not only the first, to `errors` as "push.conf:12: heartbeat: 0 is
 * below 1 second" (errors in overrides as "-o heartbeat=0: ..."). Returns an owned config, or NULL
 * if there was an error.
 */
struct config *config_load(const char *path, const struct config_override *override, size_t count,
                           FILE *errors);

/* Does the same for `copy`, a copy of the file that was at `path`: errors name `path`, and relative
 * file names in it are relative to the folder of `path`. */
struct config *config_load_copy(const char *path, const char *copy,
                                const struct config_override *override, size_t count, FILE *errors);
void config_free(struct config *config); /* takes; NULL is allowed */

/* The keys that a program needs to reach the admin interface of a server. */
struct admin_access {
    char *address; /* the value of `admin` */
    char *token;   /* the value of `admin_token` */
};

/* Reads both, owned, from the push.conf at `path`, even if other keys are invalid. Returns false,
 * after printing the reason to `errors`, if the file cannot be read. */
bool config_admin(const char *path, struct admin_access *out, FILE *errors);
void config_admin_free(struct admin_access *access);

/*
 * Prepares `fresh` to replace `old` in a running server: keys that need a restart keep their value
 * in `old`. Calls `kept` with the name of each key whose value in the file was different. The
 * values are swapped between the two, so both are still freed by config_free.
 */
void config_keep(struct config *fresh, struct config *old, void (*kept)(const char *key));

/* Writes the keys whose values an upgrade must not change (RESTART and RELOAD_ONLY) as "key=value"
 * lines to `out`, NUL-terminated and cut at `size` bytes. */
void config_kept_text(const struct config *config, char *out, size_t size);

/* Calls `differs` with each of these keys whose value differs from that in `text`, the output of
 * config_kept_text, possibly of another version: keys that only one version has are ignored.
 * `reload`: a reload can change the key; otherwise only a restart can. True if any key differs. */
bool config_differs(const struct config *config, const char *text,
                    void (*differs)(const char *key, bool reload));

/* Prints warnings about valid but dangerous settings: secrets in files that every user can read, a
 * token that can be guessed. `path`: of push.conf. */
void config_warn(const struct config *config, const char *path, FILE *out);

/* Returns the rule of an application opcode, borrowed, or NULL. O(log n). */
const struct opcode_rule *config_rule(const struct config *config, uint32_t op);

/* True if an IPv4 or IPv6 address is in a network of trusted_proxies. Always true for AF_UNIX. */
bool config_trusts(const struct config *config, const struct sockaddr *addr);

/* Does the same for an IPv6 address; IPv4 as ::ffff:a.b.c.d. */
bool config_trusts_address(const struct config *config, const uint8_t address[16]);

/* Prints the table of keys: name, default, bounds, unit, reload or restart, help. */
void config_describe(FILE *out);

/* Writes the address to `out` for a log line: "host:port", "[::1]:port", "unix:/path". Returns
 * `out`. */
const char *config_address_text(const struct sockaddr *addr, socklen_t len, char *out, size_t size);

#endif
