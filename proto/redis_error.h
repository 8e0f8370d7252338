/*
 * Classifies the errors that Redis answers by what a client should do next. The first words of an
 * error reply are its code (redis.io, "Redis serialization protocol specification", simple errors).
 */
#ifndef WSPUSHD_PROTO_REDIS_ERROR_H
#define WSPUSHD_PROTO_REDIS_ERROR_H

#include <stddef.h>

enum redis_error {
    REDIS_ERROR_OTHER,     /* none of these */
    REDIS_ERROR_LATER,     /* Redis cannot do it right now: the same command may be retried, the
                              connection is fine */
    REDIS_ERROR_ELSEWHERE, /* another server can do it */
    REDIS_ERROR_LOGIN,     /* user or password: an operator must act */
    REDIS_ERROR_DENIED,    /* the user lacks the permission */
    REDIS_ERROR_UNKNOWN,   /* Redis does not have this command */
};

/* Returns the kind of an error reply, given without its '-'. */
enum redis_error redis_error_kind(const char *text, size_t len);

/* Returns what an operator can do about it, as a clause, or NULL if there is no advice. */
const char *redis_error_advice(const char *text, size_t len);

#endif
