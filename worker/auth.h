/*
 * Authentication, before the upgrade and with the request's head at hand: the methods of push.conf
 * are tried in order until one identifies the user. A method may have to ask Redis; then this
 * connection waits, and no other does.
 *
 *     auth_try ──▶ AUTH_OK          the user is known
 *              ──▶ AUTH_REFUSED     no method knows the user: 401
 *              ──▶ AUTH_UNAVAILABLE none does, but one could not be asked: 503
 *              ──▶ AUTH_PENDING     Redis is asked; upgrade_resume is called with the answer
 */
#ifndef WSPUSHD_WORKER_AUTH_H
#define WSPUSHD_WORKER_AUTH_H

#include "proto/explain.h"
#include "proto/http.h"
#include "proto/message.h"
#include "worker/worker.h"

struct login {
    char user[USER_MAX];
    uint8_t user_len;
    uint32_t expires; /* Unix second; 0: never */
    uint64_t kicks;   /* number of kicks so far when credentials were checked: kicks.h */
};

enum { AUTH_WHY_MAX = 384 };

/* A login in progress. Zero-initialise to begin. */
struct auth {
    struct login login;     /* valid after AUTH_OK */
    size_t tried;           /* methods of push.conf that have been tried */
    bool unavailable;       /* a method could not be asked */
    char why[AUTH_WHY_MAX]; /* their reasons */
};

enum auth_verdict { AUTH_OK, AUTH_REFUSED, AUTH_UNAVAILABLE, AUTH_PENDING };

/* Prepares the methods. Returns 0, or -1. */
int auth_open(struct worker *worker);

/* Tries the methods that have not been tried yet. */
enum auth_verdict auth_try(struct worker *worker, struct conn *conn,
                           const struct http_request *request, struct auth *auth);

/* Adds the reason of the method tried last; `why` is one of this program's own texts. */
void auth_note(const struct worker *worker, struct auth *auth, const char *why);

/* True if the request has no Origin, or one that may connect: the server's own, or one of
 * `origins`. */
bool auth_origin_allowed(const struct config *config, const struct http_request *request);

/* True if the bytes are a valid user name: 1 to 63 bytes of UTF-8 without control characters. */
bool auth_user_valid(const char *user, size_t len);

/* Puts a user name into the login. Returns NULL, or why the name is invalid. */
const char *auth_take_user(struct login *login, const char *user, size_t len);

/* Handles AUTH on an open connection: {"token":"..."} of the same user replaces the connection's
 * login and its expiry. Returns -1 on success, or an enum error_code with the reason in `why`. */
int auth_renew(struct worker *worker, struct conn *conn, const struct message *request,
               char why[EXPLAIN_MAX]);

#endif
