/*
 * Login by JSON Web Token. The token is looked for in `Authorization: Bearer` (RFC 6750 §2.1), in a
 * cookie, and in the query; the first one found counts. The cheapest checks come first, so that a
 * stranger's token costs little: form, signature, then claims.
 */
#include "worker/auth_methods.h"

#include "common/clock.h"
#include "proto/token.h"

#include <string.h>

/* Finds the token after "Bearer" in any case, and spaces (RFC 9110 §11.1). */
static bool find_bearer_token(const struct http_request *request, struct slice *token)
{
    static const char scheme[] = "bearer ";
    const size_t len = sizeof(scheme) - 1;
    const struct slice *value = http_header_find(request, "Authorization", NULL);
    if (!value || value->len <= len || strncasecmp(value->at, scheme, len) != 0)
        return false;
    *token = slice_trimmed((struct slice){value->at + len, value->len - len});
    return true;
}

static bool find_request_token(const struct config *config, const struct http_request *request,
                               struct slice *token)
{
    return find_bearer_token(request, token) ||
           (*config->jwt.cookie && auth_cookie(request, config->jwt.cookie, token)) ||
           (*config->jwt.query && http_query_find(request->query, config->jwt.query, token));
}

const char *auth_check_token(const struct worker *worker, const char *text, size_t len,
                             struct login *login)
{
    const struct config *config = worker->config;
    const struct jwt_key *key = config->jwt_key;
    const struct token_rules rules = {clock_wall_ms() / 1000, config->jwt.leeway,
                                      config->jwt.audience, config->jwt.issuer};
    uint8_t buffer[TOKEN_MAX];
    char user[TOKEN_MAX];
    struct token token;
    if (len > TOKEN_MAX)
        return token_error_text(TOKEN_MALFORMED);
    enum token_error error = token_read(&token, text, len, jwt_key_algorithm(key), buffer);
    if (!error && !jwt_key_verify(key, token.signed_part.at, token.signed_part.len, token.signature,
                                  token.signature_len))
        error = TOKEN_SIGNATURE;
    if (!error)
        error = token_check(&token, &rules, &login->expires);
    if (error)
        return token_error_text(error);
    return auth_take_user(login, user, json_unescape(user, &token.sub));
}

enum auth_step auth_by_jwt(struct worker *worker, struct conn *conn,
                           const struct http_request *request, struct auth *auth, const char **why)
{
    struct slice token;
    (void)conn;
    *why = "there is no token";
    if (find_request_token(worker->config, request, &token))
        *why = auth_check_token(worker, token.at, token.len, &auth->login);
    return *why ? STEP_NOTHING : STEP_FOUND;
}
