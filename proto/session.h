/*
 * What a session in Redis says: the user as plain text, or a JSON object with a member "user".
 */
#ifndef WSPUSHD_PROTO_SESSION_H
#define WSPUSHD_PROTO_SESSION_H

#include <stddef.h>
#include <sys/types.h>

/* Writes the user of a session to `out`, at most `max` bytes; whether it is a user's name is for
 * the caller to check. May change the text. Returns the length, or -1 if the session names no user,
 * or a longer one. */
ssize_t session_user(char *out, size_t max, char *text, size_t len);

#endif
