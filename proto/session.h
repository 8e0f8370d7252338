/*
 * What a session in Redis says: the user as plain text, or a JSON object with a member "user".
 */
#ifndef WSPUSHD_PROTO_SESSION_H
#define WSPUSHD_PROTO_SESSION_H

#include <stddef.h>
#include <sys/types.h>

/* Writes the user of a session to `out`, at most `max` bytes; whether it is a user's name is for
 * the caller to check. Returns its length, or -1 where the session names none, or a longer one. */
ssize_t session_user(char *out, size_t max, const char *text, size_t len);

#endif
