/*
 * The ways to log in, each in its file: auth_jwt.c, auth_session.c, auth_header.c, auth_query.c.
 * auth.c has the table of them.
 */
#ifndef WSPUSHD_WORKER_AUTH_METHODS_H
#define WSPUSHD_WORKER_AUTH_METHODS_H

#include "worker/auth.h"

/* What a method came to. */
enum auth_step {
    STEP_FOUND,       /* auth->login is filled */
    STEP_NOTHING,     /* the request proves nothing to this method: *why says what is wrong */
    STEP_UNAVAILABLE, /* whoever knows cannot be asked: *why says who */
    STEP_ASKED,       /* the answer comes later, to a copy of *auth */
};

typedef enum auth_step auth_method_try(struct worker *worker, struct conn *conn,
                                       const struct http_request *request, struct auth *auth,
                                       const char **why);

auth_method_try auth_by_jwt, auth_by_session, auth_by_header, auth_by_query;

/* Makes the queue of sessions that Redis was asked for. Returns 0, or -1. */
int auth_session_open(struct worker *worker);

/* Checks a token and fills the login. Returns NULL, or what is wrong with it. */
const char *auth_check_token(const struct worker *worker, const char *text, size_t len,
                             struct login *login);

/* The value of a cookie, from whichever Cookie field has it; false where none has. */
bool auth_cookie(const struct http_request *request, const char *name, struct slice *value);

#endif
