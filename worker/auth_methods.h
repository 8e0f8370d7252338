/*
 * The login methods, one per file: auth_jwt.c, auth_session.c, auth_header.c, auth_query.c. auth.c
 * has their table.
 */
#ifndef WSPUSHD_WORKER_AUTH_METHODS_H
#define WSPUSHD_WORKER_AUTH_METHODS_H

#include "worker/auth.h"

/* A method's result. */
enum auth_step {
    STEP_FOUND,       /* auth->login is filled */
    STEP_NOTHING,     /* the method cannot identify the user: *why says why */
    STEP_UNAVAILABLE, /* the source could not be asked: *why names it */
    STEP_ASKED,       /* Redis was asked; the answer goes to a copy of *auth */
};

typedef enum auth_step auth_method_try(struct worker *worker, struct conn *conn,
                                       const struct http_request *request, struct auth *auth,
                                       const char **why);

auth_method_try auth_by_jwt, auth_by_session, auth_by_header, auth_by_query;

/* Makes the queue of session lookups that Redis has not answered. Returns 0, or -1. */
int auth_session_open(struct worker *worker);

/* Checks a token and fills in the login. Returns NULL, or what is wrong with the token. */
const char *auth_check_token(const struct worker *worker, const char *text, size_t len,
                             struct login *login);

/* Finds the value of a cookie in any Cookie field. Returns false if there is none. */
bool auth_cookie(const struct http_request *request, const char *name, struct slice *value);

#endif
