/*
 * Who is the client? Asked before the upgrade, with the request's head in hand: push.conf's methods
 * are tried in order until one knows. A method may have to ask Redis; then the connection waits,
 * and nobody else.
 *
 *     auth_try ──▶ AUTH_OK          the login is there
 *              ──▶ AUTH_REFUSED     nobody vouches: 401
 *              ──▶ AUTH_UNAVAILABLE nobody vouches, but one method could not be asked: 503
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
    uint64_t kicks;   /* as many as there had been when the credentials were looked at: kicks.h */
};

enum { AUTH_WHY_MAX = 384 };

/* A login under way. All zero is its beginning. */
struct auth {
    struct login login;     /* once it is found */
    size_t tried;           /* methods of push.conf's order that are over */
    bool unavailable;       /* one of them could not be asked */
    char why[AUTH_WHY_MAX]; /* what they said: "jwt: there is no token; session: ..." */
};

enum auth_verdict { AUTH_OK, AUTH_REFUSED, AUTH_UNAVAILABLE, AUTH_PENDING };

/* Makes the methods ready. Returns 0, or -1. */
int auth_open(struct worker *worker);

/* Goes on with the methods that have not been tried. */
enum auth_verdict auth_try(struct worker *worker, struct conn *conn,
                           const struct http_request *request, struct auth *auth);

/* Notes what the method tried last has said; `why` is one of our own texts. */
void auth_note(const struct worker *worker, struct auth *auth, const char *why);

/* True if the request has no Origin, or one that may connect: the server's own, or one of
 * `origins`. */
bool auth_origin_allowed(const struct config *config, const struct http_request *request);

/* Whether the bytes are a user name: 1 to 63 bytes of UTF-8 without control characters. */
bool auth_user_valid(const char *user, size_t len);

/* Takes a name that a method has found. Returns NULL, or says that it is none. */
const char *auth_take_user(struct login *login, const char *user, size_t len);

/* AUTH on an open connection: {"token":"..."} of the same user takes the place of the login that
 * the connection began with, and of its end. Returns -1, or an enum error_code and what is wrong in
 * `why`. */
int auth_renew(struct worker *worker, struct conn *conn, const struct message *request,
               char why[EXPLAIN_MAX]);

#endif
