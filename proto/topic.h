/*
 * Topics: what a name may be, and the patterns of push.conf that say who may join which.
 *
 *   room:*              any name that begins with "room:"
 *   user:{user}:*       for user 42 any name that begins with "user:42:"
 *
 * `*` stands for any bytes, also none; `{user}` for the name of who asks, to the letter: a `*` in a
 * user's name is no wildcard. Everything else stands for itself.
 */
#ifndef WSPUSHD_PROTO_TOPIC_H
#define WSPUSHD_PROTO_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

enum { TOPIC_MAX = 128 }; /* bytes of a name */

/* Whether it is a topic's name: 1 to TOPIC_MAX bytes of UTF-8 without control characters. */
bool topic_name_valid(const char *name, size_t len);

/* Whether a pattern matches the whole name when this user asks. */
bool topic_matches(const char *pattern, const char *name, size_t len, const char *user,
                   size_t user_len);

#endif
