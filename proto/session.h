/*
 * The value of a session in Redis: the user as plain text, or a JSON object with a member "user".
 */
#ifndef WSPUSHD_PROTO_SESSION_H
#define WSPUSHD_PROTO_SESSION_H

#include <stddef.h>
#include <sys/types.h>

/* Writes the user of a session to `out`, at most `max` bytes. The caller checks whether it is a
 * valid user name. May modify `text`. Returns the length, or -1 if the session has no user or a
 * longer one. */
ssize_t session_user(char *out, size_t max, char *text, size_t len);

#endif
