/*
 * See auth.h. Each method is a row of the table: it identifies the user, or says why not and lets
 * the next one try. The reasons are joined for the 401, so that the developer of a client sees what
 * each method expected; they are this program's own texts and never contain input.
 */
#include "worker/auth.h"

#include "common/log.h"
#include "proto/json.h"
#include "proto/origin.h"
#include "proto/token.h"
#include "proto/utf8.h"
#include "worker/auth_methods.h"
#include "worker/checks.h"

#include <stdio.h>
#include <string.h>

static auth_method_try *const methods[AUTH_METHOD_COUNT] = {
    [AUTH_JWT] = auth_by_jwt,
    [AUTH_SESSION] = auth_by_session,
    [AUTH_HEADER] = auth_by_header,
    [AUTH_NONE] = auth_by_query,
};

static const char *const method_names[AUTH_METHOD_COUNT] = {
#define METHOD_NAME(name, word) [name] = word,
    AUTH_METHODS(METHOD_NAME)
#undef METHOD_NAME
};

int auth_open(struct worker *worker)
{
    return auth_session_open(worker);
}

void auth_note(const struct worker *worker, struct auth *auth, const char *why)
{
    const size_t len = strlen(auth->why);
    const enum auth_method method = worker->config->auth_order[auth->tried - 1];
    snprintf(auth->why + len, sizeof(auth->why) - len, "%s%s: %s", len ? "; " : "",
             method_names[method], why);
}

enum auth_verdict auth_try(struct worker *worker, struct conn *conn,
                           const struct http_request *request, struct auth *auth)
{
    while (auth->tried < worker->config->auth.count) {
        const enum auth_method method = worker->config->auth_order[auth->tried++];
        const char *why = NULL;
        switch (methods[method](worker, conn, request, auth, &why)) {
        case STEP_FOUND:
            return AUTH_OK;
        case STEP_ASKED:
            return AUTH_PENDING;
        case STEP_UNAVAILABLE:
            auth->unavailable = true;
            break;
        case STEP_NOTHING:
            break;
        }
        auth_note(worker, auth, why);
    }
    return auth->unavailable ? AUTH_UNAVAILABLE : AUTH_REFUSED;
}

bool auth_cookie(const struct http_request *request, const char *name, struct slice *value)
{
    bool found = false;
    size_t from = 0;
    const struct slice *cookies;
    while ((cookies = http_header_next(request, "Cookie", &from)) != NULL) {
        found = http_cookie(*cookies, name, value) || found;
        if (found && value->len > 0)
            break;
    }
    return found;
}

/* ---- Names ---- */

bool auth_user_valid(const char *user, size_t len)
{
    return len >= 1 && len <= USER_MAX && utf8_valid(user, len) && !utf8_has_control(user, len);
}

const char *auth_take_user(struct login *login, const char *user, size_t len)
{
    static struct log_limit limit;
    if (auth_user_valid(user, len)) {
        memcpy(login->user, user, len);
        login->user_len = (uint8_t)len;
        return NULL;
    }
    if (log_allow(&limit, 10, NULL))
        log_warn("bad_user_name", "bytes=%zu user=%s", len, log_quote(user, len < 64 ? len : 64));
    return "not a user name: 1 to 63 bytes of UTF-8 without control characters";
}

/* ---- Renewal ---- */

/* Decodes the member "token" of an AUTH to `out`. Returns its length, or -1 with the reason in
 * `why`, which never shows a string that could be a token. */
static ssize_t read_renewal_token(char out[TOKEN_MAX], const struct message *request,
                                  char why[EXPLAIN_MAX])
{
    static const char *const known[] = {"token"};
    const char *text = (const char *)request->payload;
    const struct json_value token = check_member(text, request->len, "token");
    char shown[64];
    if (json_walk_object(text, request->len).failed || !json_valid(text, request->len))
        explain_json(why, text, request->len);
    else if (token.type == JSON_TYPE_NONE)
        explain_missing(why, "token", text, request->len, &(struct names){known, 1});
    else if (token.type == JSON_TYPE_STRING && token.len > TOKEN_MAX)
        snprintf(why, EXPLAIN_MAX, "token is longer than %d bytes", TOKEN_MAX);
    else if (token.type == JSON_TYPE_STRING)
        return (ssize_t)json_unescape(out, &token);
    else
        snprintf(why, EXPLAIN_MAX, "token must be a string, not %s",
                 explain_value(shown, sizeof(shown), &token));
    return -1;
}

static void log_refused_renewal(const struct conn *conn, const char *why)
{
    static struct log_limit limit;
    if (log_allow(&limit, 10, NULL))
        log_info("renewal_refused", "user=%s why=%s", log_quote(conn->user, conn->user_len),
                 log_quote(why, strlen(why)));
}

int auth_renew(struct worker *worker, struct conn *conn, const struct message *request,
               char why[EXPLAIN_MAX])
{
    char text[TOKEN_MAX];
    struct login login = {0};
    const ssize_t len = read_renewal_token(text, request, why);
    if (len < 0)
        return ERROR_BAD_PAYLOAD;
    const char *wrong = "auth in push.conf does not name jwt";
    if (worker->config->jwt_key)
        wrong = auth_check_token(worker, text, (size_t)len, &login);
    if (!wrong &&
        (login.user_len != conn->user_len || memcmp(login.user, conn->user, conn->user_len) != 0))
        wrong = "the token is another user's";
    if (wrong) {
        log_refused_renewal(conn, wrong);
        snprintf(why, EXPLAIN_MAX, "%s", wrong);
        return ERROR_FORBIDDEN;
    }
    conn->expires = login.expires;
    stats_add(&worker->stats->renewed, 1);
    return -1;
}

/* ---- Origins ---- */

bool auth_origin_allowed(const struct config *config, const struct http_request *request)
{
    size_t count = 0;
    const struct slice *origin = http_header_find(request, "Origin", &count);
    if (!origin)
        return true;
    if (count > 1)
        return false;
    if (origin_is_host(*origin, http_host(request)))
        return true;
    for (size_t i = 0; i < config->origins.count; i++)
        if (origin_matches(*origin, config->origins.item[i]))
            return true;
    return false;
}
