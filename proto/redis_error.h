/*
 * The errors that Redis answers with, by what they mean to a client that wants to go on: the first
 * words of an error reply are its code (redis.io, "Redis serialization protocol specification",
 * simple errors).
 */
#ifndef WSPUSHD_PROTO_REDIS_ERROR_H
#define WSPUSHD_PROTO_REDIS_ERROR_H

#include <stddef.h>

enum redis_error {
    REDIS_ERROR_OTHER,     /* none of these */
    REDIS_ERROR_LATER,     /* it cannot just now: the same may be asked again, and it lives */
    REDIS_ERROR_ELSEWHERE, /* another server can */
    REDIS_ERROR_LOGIN,     /* user or password: an operator must act */
    REDIS_ERROR_DENIED,    /* the user may not do this */
    REDIS_ERROR_UNKNOWN,   /* it does not have this command */
};

/* The kind of an error reply, without its '-'. */
enum redis_error redis_error_kind(const char *text, size_t len);

/* What an operator can do about it, as a clause; NULL if there is nothing to say. */
const char *redis_error_advice(const char *text, size_t len);

#endif
