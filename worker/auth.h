/*
 * Who is the client? Asked once, before the upgrade, with the request's head in hand.
 */
#ifndef WSPUSHD_WORKER_AUTH_H
#define WSPUSHD_WORKER_AUTH_H

#include "proto/http.h"
#include "worker/worker.h"

struct login {
    char user[USER_MAX];
    uint8_t user_len;
    uint32_t expires; /* Unix second; 0: never */
};

enum auth_verdict {
    AUTH_OK,
    AUTH_REFUSED, /* 401 with the reason */
};

/* Tries push.conf's methods in order. On AUTH_REFUSED *reason is a static text. */
enum auth_verdict auth_check(const struct worker *worker, const struct conn *conn,
                             const struct http_request *request, struct login *login,
                             const char **reason);

/* Whether the request's Origin may connect: none, the same as Host, or on the list. */
bool auth_origin_allowed(const struct config *config, const struct http_request *request);

/* Whether the bytes are a user name: 1 to 63 bytes of UTF-8 without control characters. */
bool auth_user_valid(const char *user, size_t len);

#endif
