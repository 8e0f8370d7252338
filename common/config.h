/*
 * push.conf: read by libconfuse, checked against the one table in config_keys.h. The master reads
 * it before it forks; workers inherit it and never change it.
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

/* Where requests with an application opcode go. */
enum request_target { TARGET_STREAM, TARGET_CHANNEL, TARGET_LIST, TARGET_ECHO, TARGET_DROP };

/* One `opcode N { ... }` section. */
struct opcode_rule {
    uint32_t op;
    char *name;
    enum request_target target;
    char *key; /* of the stream, channel or list; NULL for echo and drop */
    enum payload_kind payload;
    uint32_t max;  /* bytes of payload; 0: only max_message */
    uint32_t rate; /* requests a second on one connection; 0: no limit */
};

/* A parsed address to listen on. */
struct listen_address {
    struct sockaddr_storage addr;
    socklen_t len;
    bool loopback; /* 127.0.0.0/8, ::1 or a unix socket */
    bool is_unix;
    bool proxy;       /* trusted peers begin with a PROXY header */
    const char *text; /* as written */
};

/* A parsed redis URL. */
struct redis_address {
    bool is_unix;
    char *host; /* or the socket's path */
    uint16_t port;
    char *user, *password; /* NULL where not given; percent-decoded */
    unsigned db;
};

/* Writes the URL without the password to `out`, for logs and answers:
 * "redis://app@127.0.0.1:6379/0", "unix:///run/redis.sock?db=0". Cut where it does not fit. Returns
 * `out`. */
const char *config_redis_text(const struct redis_address *redis, char *out, size_t size);

/* A network in CIDR form; IPv4 as ::ffff:a.b.c.d. */
struct network {
    uint8_t address[16];
    unsigned bits; /* 0 to 128 */
};

struct config {
    char *text; /* of the file, as it was read */
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
        char *name; /* of the header that a trusted proxy sets */
    } header;
    struct {
        char *key_file, *algorithm, *cookie, *query, *audience, *issuer;
        uint32_t leeway; /* seconds */
    } jwt;
    struct {
        char *cookie, *header, *prefix;
    } session;

    /* What the strings above mean, parsed when the file is read. */
    struct listen_address *listen_at;
    struct listen_address admin_at; /* len 0: none */
    struct redis_address redis_at;
    enum auth_method *auth_order;
    struct network *trusted;
    struct jwt_key *jwt_key; /* NULL where auth has no jwt */
    size_t rule_count;
    struct opcode_rule *rule; /* by rising opcode */
};

/* An override from the command line: "-o heartbeat=1". */
struct config_override {
    const char *text;
};

/*
 * Reads and checks `path`, then applies `count` overrides in order (a list's value is
 * comma-separated). Every mistake is printed to `errors` as "push.conf:12: heartbeat: 0 is below 1
 * second" (overrides as "-o heartbeat=0: ..."), all of them and not only the first. Returns an
 * owned config, or NULL after at least one.
 */
struct config *config_load(const char *path, const struct config_override *override, size_t count,
                           FILE *errors);

/* The same for a copy of the file that was at `path`: mistakes name `path`, and files in it are
 * relative to that. */
struct config *config_load_copy(const char *path, const char *copy,
                                const struct config_override *override, size_t count, FILE *errors);
void config_free(struct config *config); /* takes; NULL is let pass */

/* What a program needs to talk to the admin interface of the server that reads this file. */
struct admin_access {
    char *address; /* the value of `admin` */
    char *token;   /* the value of `admin_token` */
};

/* Fills in both, owned, whatever else is wrong with the file. Returns false if the file cannot be
 * read, after printing why to `errors`. */
bool config_admin(const char *path, struct admin_access *out, FILE *errors);
void config_admin_free(struct admin_access *access);

/*
 * Before `fresh` takes the place of `old` in a running server: keys that need a restart keep the
 * value that they have; `kept` is called with the name of each that the file would change.
 * Values are exchanged, so both are still freed by config_free.
 */
void config_keep(struct config *fresh, struct config *old, void (*kept)(const char *key));

/* Writes the keys that an upgrade must find as they are as "key=value" lines to `out`, terminated;
 * cut where they do not fit. */
void config_kept_text(const struct config *config, char *out, size_t size);

/* Calls `differs` with each such key that has another value than in `text`, which config_kept_text
 * of another version may have written: keys that only one of them knows are let pass. `reload`: a
 * reload would change it, and not only a restart. Returns whether there was any. */
bool config_differs(const struct config *config, const char *text,
                    void (*differs)(const char *key, bool reload));

/* Prints what is not wrong but dangerous: secrets in files that everybody may read, a token that
 * can be guessed. `path`: of push.conf. */
void config_warn(const struct config *config, const char *path, FILE *out);

/* The rule of an application opcode, or NULL. Binary search. */
const struct opcode_rule *config_rule(const struct config *config, uint32_t op);

/* Whether an address, IPv4 or IPv6, lies in one of the trusted networks. AF_UNIX always does. */
bool config_trusts(const struct config *config, const struct sockaddr *addr);

/* The same for an IPv6 address, or IPv4 as ::ffff:a.b.c.d. */
bool config_trusts_address(const struct config *config, const uint8_t address[16]);

/* Prints the table: key, default, bounds, unit, whether reloadable, help. */
void config_describe(FILE *out);

/* "host:port", "[::1]:port", "unix:/path" for a log line; writes to `out` and returns it. */
const char *config_address_text(const struct sockaddr *addr, socklen_t len, char *out, size_t size);

#endif
