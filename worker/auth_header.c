/*
 * Login by a reverse proxy that has authenticated the user: a header names the user. It is accepted
 * only from a peer in trusted_proxies, because any client can send a header; such a proxy must
 * overwrite the header if its clients send it.
 */
#include "worker/auth_methods.h"

enum auth_step auth_by_header(struct worker *worker, struct conn *conn,
                              const struct http_request *request, struct auth *auth,
                              const char **why)
{
    size_t count = 0;
    const struct slice *user = http_header_find(request, worker->config->header.name, &count);
    if (!user || user->len == 0)
        *why = "the header is missing";
    else if (!conn_has(conn, CONN_TRUSTED))
        *why = "the header does not come from a trusted proxy";
    else if (count > 1)
        *why = "the header occurs more than once";
    else
        *why = auth_take_user(&auth->login, user->at, user->len);
    return *why ? STEP_NOTHING : STEP_FOUND;
}
