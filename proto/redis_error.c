/*
 * See redis_error.h. One table; a row may go beyond the code where the code is the general "ERR".
 */
#include "proto/redis_error.h"

#include <string.h>

/* X(begins with, kind, advice) */
#define REDIS_ERRORS(X)                                                                          \
    X("LOADING", LATER, NULL)                                                                    \
    X("BUSY", LATER, "a script runs in Redis: SCRIPT KILL or FUNCTION KILL ends it")             \
    X("MISCONF", LATER, "Redis cannot save: look at its log and at the space on its disk")       \
    X("MASTERDOWN", LATER, NULL)                                                                 \
    X("TRYAGAIN", LATER, NULL)                                                                   \
    X("CLUSTERDOWN", LATER, "look at CLUSTER INFO of this Redis")                                \
    X("OOM", LATER, "Redis is at its maxmemory: raise it, or choose a maxmemory-policy")         \
    X("ERR max number of clients", LATER, "raise maxclients of Redis")                           \
    X("READONLY", ELSEWHERE, "set redis in push.conf to the primary")                            \
    X("MOVED", ELSEWHERE, "set redis in push.conf to a Redis that is not part of a Cluster")     \
    X("ASK", ELSEWHERE, "set redis in push.conf to a Redis that is not part of a Cluster")       \
    X("NOAUTH", LOGIN, "set a password in push.conf: redis://:password@host")                    \
    X("WRONGPASS", LOGIN, "check the user and the password of redis in push.conf")               \
    X("ERR invalid password", LOGIN, "check the password of redis in push.conf")                 \
    X("ERR AUTH", LOGIN, "Redis has no password: remove that of redis in push.conf")             \
    X("ERR Client sent AUTH", LOGIN, "Redis has no password: remove that of redis in push.conf") \
    X("DENIED", LOGIN, "Redis is in protected mode: give it a password")                         \
    X("NOPERM", DENIED, "grant it to this user with ACL SETUSER (docs/security.md, Redis)")      \
    X("ERR unknown command", UNKNOWN, "is it renamed in redis.conf, or is this not Redis?")      \
    X("ERR unknown subcommand", UNKNOWN, "this Redis is too old")                                \
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

/* The row of an error, or ERROR_COUNT. What a row names must end there or at a blank: BUSY is not
 * BUSYGROUP. */
static size_t error_find(const char *text, size_t len)
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
    const size_t i = error_find(text, len);
    return i < ERROR_COUNT ? errors[i].kind : REDIS_ERROR_OTHER;
}

const char *redis_error_advice(const char *text, size_t len)
{
    const size_t i = error_find(text, len);
    return i < ERROR_COUNT ? errors[i].advice : NULL;
}
