/*
 * Topics: which names are valid, and the patterns of push.conf that say who may join which topic.
 *
 *   room:*              any name that starts with "room:"
 *   user:{user}:*       for user 42 any name that starts with "user:42:"
 *
 * `*` matches any number of bytes, including none. `{user}` is replaced literally by the name of
 * the user who asks: a `*` in a user name is not a wildcard. Everything else matches itself.
 */
#ifndef WSPUSHD_PROTO_TOPIC_H
#define WSPUSHD_PROTO_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

enum { TOPIC_MAX = 128 }; /* maximum length of a name in bytes */

/* True if `name` is a valid topic name: 1 to TOPIC_MAX bytes of UTF-8 without control characters.
 */
bool topic_name_valid(const char *name, size_t len);

/* True if the pattern matches the whole name for this user. */
bool topic_matches(const char *pattern, const char *name, size_t len, const char *user,
                   size_t user_len);

#endif
