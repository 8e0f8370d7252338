/*
 * See auth.h. Each method is a row of the table: it finds the user, finds none and lets the next
 * method try, or refuses for good.
 */
#include "worker/auth.h"

#include "proto/utf8.h"

#include <string.h>

/* The Unicode control characters: C0, DEL, and C1 (two bytes in UTF-8: c2 80 to c2 9f). */
static bool has_control(const unsigned char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] < 0x20 || s[i] == 0x7f)
            return true;
        if (s[i] == 0xc2 && i + 1 < len && s[i + 1] >= 0x80 && s[i + 1] < 0xa0)
            return true;
    }
    return false;
}

bool auth_user_valid(const char *user, size_t len)
{
    return len >= 1 && len <= USER_MAX && utf8_valid(user, len) &&
           !has_control((const unsigned char *)user, len);
}

/* auth none: the name is taken from ?user=, unproved. push.conf lets it stand only on loopback. */
static const char *by_query(const struct http_request *request, struct login *login)
{
    struct slice value;
    if (!http_query_find(request->query, "user", &value))
        return "no user given: add ?user=NAME";
    const ssize_t len = http_percent_decode(login->user, sizeof(login->user), value);
    if (len < 0 || !auth_user_valid(login->user, (size_t)len))
        return "not a user name: 1 to 63 bytes of UTF-8 without control characters";
    login->user_len = (uint8_t)len;
    return NULL;
}

enum auth_verdict auth_check(const struct worker *worker, const struct conn *conn,
                             const struct http_request *request, struct login *login,
                             const char **reason)
{
    (void)conn;
    *reason = "no way to log in is configured";
    for (size_t i = 0; i < worker->config->auth.count; i++) {
        if (worker->config->auth_order[i] != AUTH_NONE)
            continue;
        *reason = by_query(request, login);
        if (!*reason)
            return AUTH_OK;
    }
    return AUTH_REFUSED;
}

/* "https://example.com:8443" and a Host of "example.com:8443". */
static bool same_origin(struct slice origin, const struct http_request *request)
{
    const struct slice *host = http_header_find(request, "Host", NULL);
    const char *authority = memmem(origin.at, origin.len, "://", 3);
    if (!host || !authority)
        return false;
    authority += 3;
    const size_t len = (size_t)(origin.at + origin.len - authority);
    return len == host->len && strncasecmp(authority, host->at, len) == 0;
}

bool auth_origin_allowed(const struct config *config, const struct http_request *request)
{
    size_t count = 0;
    const struct slice *origin = http_header_find(request, "Origin", &count);
    if (!origin)
        return true;
    if (count > 1)
        return false;
    if (config->origins.count == 0)
        return same_origin(*origin, request);
    for (size_t i = 0; i < config->origins.count; i++)
        if (strcmp(config->origins.item[i], "*") == 0 ||
            slice_equal_nocase(*origin, config->origins.item[i]))
            return true;
    return false;
}
