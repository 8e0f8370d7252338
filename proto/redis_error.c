/*
 * See redis_error.h. One table; if the code is the generic "ERR", a row has further words of the
 * reply.
 */
#include "proto/redis_error.h"

#include <string.h>

/* X(prefix of the reply, kind, advice) */
#define REDIS_ERRORS(X)                                                                        \
    X("LOADING", LATER, NULL)                                                                  \
    X("BUSY", LATER, "a script is running in Redis: end it with SCRIPT KILL or FUNCTION KILL") \
    X("MISCONF", LATER, "Redis cannot save: check its log and its disk space")                 \
    X("MASTERDOWN", LATER, NULL)                                                               \
    X("TRYAGAIN", LATER, NULL)                                                                 \
    X("CLUSTERDOWN", LATER, "check CLUSTER INFO of this Redis")                                \
    X("OOM", LATER, "Redis has reached its maxmemory: raise it, or choose a maxmemory-policy") \
    X("ERR max number of clients", LATER, "raise maxclients of Redis")                         \
    X("READONLY", ELSEWHERE, "set redis in push.conf to the primary")                          \
    X("MOVED", ELSEWHERE, "set redis in push.conf to a Redis that is not part of a Cluster")   \
    X("ASK", ELSEWHERE, "set redis in push.conf to a Redis that is not part of a Cluster")     \
    X("NOAUTH", LOGIN, "set a password in push.conf: redis://:password@host")                  \
    X("WRONGPASS", LOGIN, "check the user and the password of redis in push.conf")             \
    X("ERR invalid password", LOGIN, "check the password of redis in push.conf")               \
    X("ERR AUTH", LOGIN, "Redis has no password: remove the password of redis in push.conf")   \
    X("ERR Client sent AUTH", LOGIN,                                                           \
      "Redis has no password: remove the password of redis in push.conf")                      \
    X("DENIED", LOGIN, "Redis is in protected mode: give it a password")                       \
    X("NOPERM", DENIED,                                                                        \
      "grant the permission to this user with ACL SETUSER (docs/security.md, Redis)")          \
    X("ERR unknown command", UNKNOWN,                                                          \
      "is the command renamed in redis.conf, or is this not Redis?")                           \
    X("ERR unknown subcommand", UNKNOWN, "this Redis is too old")                              \
    X("ERR Unknown subcommand", UNKNOWN, "this Redis is too old")

static const struct {
    const char *begins;
    size_t len;
    enum redis_error kind;
    const char *advice;
} errors[] = {
#define REDIS_ERROR_ROW(begins, kind, advice) \
    {begins, sizeof(begins) - 1, REDIS_ERROR_##kind, advice},
    REDIS_ERRORS(REDIS_ERROR_ROW)
#undef REDIS_ERROR_ROW
};
enum { ERROR_COUNT = sizeof(errors) / sizeof(errors[0]) };

/* Returns the row of an error, or ERROR_COUNT. The prefix must be followed by a space or the end:
 * BUSY does not match BUSYGROUP. */
static size_t find_error_row(const char *text, size_t len)
{
    size_t i = 0;
    while (i < ERROR_COUNT &&
           !(len >= errors[i].len && memcmp(text, errors[i].begins, errors[i].len) == 0 &&
             (len == errors[i].len || text[errors[i].len] == ' ')))
        i++;
    return i;
}

enum redis_error redis_error_kind(const char *text, size_t len)
{
    const size_t i = find_error_row(text, len);
    return i < ERROR_COUNT ? errors[i].kind : REDIS_ERROR_OTHER;
}

const char *redis_error_advice(const char *text, size_t len)
{
    const size_t i = find_error_row(text, len);
    return i < ERROR_COUNT ? errors[i].advice : NULL;
}
