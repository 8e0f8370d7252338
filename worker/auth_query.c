/*
 * Login method `none`: the name is taken unverified from ?user=. push.conf permits it on loopback
 * and unix sockets only, unless allow_insecure is set.
 */
#include "worker/auth_methods.h"

enum auth_step auth_by_query(struct worker *worker, struct conn *conn,
                             const struct http_request *request, struct auth *auth,
                             const char **why)
{
    struct slice value;
    char user[1024];
    (void)worker, (void)conn;
    *why = "no user is given: add ?user=NAME";
    if (!http_query_find(request->query, "user", &value))
        return STEP_NOTHING;
    const ssize_t len = http_percent_decode(user, sizeof(user), value);
    *why = "the user is too long, or badly percent-encoded";
    if (len >= 0)
        *why = auth_take_user(&auth->login, user, (size_t)len);
    return *why ? STEP_NOTHING : STEP_FOUND;
}
