/*
 * See admin_guard.h. Two mechanisms protect the interface.
 *
 * The token (`admin_token`). A request carries it as `Authorization: Bearer TOKEN` (RFC 6750), or
 * as the password of `Basic` (RFC 7617), which browsers ask their user for when they open the page
 * at `/`.
 *
 * Rules against pages of other sites. The interface often listens on a developer's loopback
 * address, to which every page in their browser can send requests:
 *
 *   - A name that an attacker owns can be made to resolve to 127.0.0.1 (DNS rebinding); for the
 * browser the attacker's page is then of the same origin as the interface. So without a token
 * `Host` must be what no DNS answer can redirect: an address, localhost, or a name in
 * `admin_hosts`. A token makes that unnecessary: browsers keep a password for one origin and send
 * it to no other.
 *   - Browsers name the page's origin with every POST. It must be the interface's own.
 *   - A POST as a form can send it, with some other sign of a browser but no Origin (as old ones
 * do), is refused. curl -d sends the same type and none of the signs.
 */
#include "worker/admin_guard.h"

#include "common/log.h"
#include "proto/base64.h"
#include "proto/origin.h"
#include "worker/admin.h"

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

enum { UNAUTHORIZED = 401, FORBIDDEN = 403, BASIC_MAX = 1024 /* bytes of "user:password" */ };

/* Returns the value of a header field; empty if it is absent. */
static struct slice request_field(struct evhttp_request *request, const char *name)
{
    const char *value = evhttp_find_header(evhttp_request_get_input_headers(request), name);
    return (struct slice){value ? value : "", value ? strlen(value) : 0};
}

/* ---- The token ---- */

/* Removes the scheme, in any case, and the spaces after it from an Authorization field (RFC 9110
 * §11.4). Returns false if the scheme is another. */
static bool take_auth_scheme(struct slice *value, const char *scheme)
{
    const size_t len = strlen(scheme);
    if (value->len <= len || strncasecmp(value->at, scheme, len) != 0 || value->at[len] != ' ')
        return false;
    *value = slice_trimmed((struct slice){value->at + len, value->len - len});
    return true;
}

/* Compares in constant time, so that the time does not reveal how much of a guess was right. */
static bool equals_admin_token(const char *token, const void *guess, size_t len)
{
    return strlen(token) == len && CRYPTO_memcmp(token, guess, len) == 0;
}

static bool basic_auth_has_token(struct slice credentials, const char *token)
{
    uint8_t text[BASE64_DECODED(BASE64_ENCODED(BASIC_MAX))];
    if (credentials.len > BASE64_ENCODED(BASIC_MAX))
        return false;
    const ssize_t len = base64_decode(text, credentials.at, credentials.len);
    const uint8_t *colon = len > 0 ? memchr(text, ':', (size_t)len) : NULL;
    return colon && equals_admin_token(token, colon + 1, (size_t)(text + len - (colon + 1)));
}

static bool request_has_token(struct evhttp_request *request, const char *token)
{
    struct slice value = request_field(request, "Authorization");
    if (take_auth_scheme(&value, "Bearer"))
        return equals_admin_token(token, value.at, value.len);
    return take_auth_scheme(&value, "Basic") && basic_auth_has_token(value, token);
}

/* ---- Pages of other sites ---- */

/* Returns the host of the request: the target's if it has one, which overrides the field (RFC 9112
 * §3.2.2). */
static struct slice request_host(struct evhttp_request *request)
{
    const char *host = evhttp_uri_get_host(evhttp_request_get_evhttp_uri(request));
    return host && *host ? (struct slice){host, strlen(host)} : request_field(request, "Host");
}

/* True if no attacker can own this host name. A client that sends no Host is not a browser. */
static bool is_own_host(const struct config *config, struct slice text)
{
    struct host_port at;
    if (text.len == 0 || config->admin_at.is_unix)
        return true;
    if (!host_port_parse(text, &at))
        return false;
    if (host_is_address(at.host) || slice_equal_nocase(at.host, "localhost"))
        return true;
    for (size_t i = 0; i < config->admin_hosts.count; i++)
        if (slice_equal_nocase(at.host, config->admin_hosts.item[i]))
            return true;
    return false;
}

/* True if an HTML form can send this content type without asking the server first (CORS). */
static bool is_form_content_type(struct slice type)
{
    static const char *const types[] = {"application/x-www-form-urlencoded", "multipart/form-data",
                                        "text/plain"};
    const char *end = memchr(type.at, ';', type.len);
    const struct slice bare =
        slice_trimmed((struct slice){type.at, end ? (size_t)(end - type.at) : type.len});
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (slice_equal_nocase(bare, types[i]))
            return true;
    return bare.len == 0;
}

/* True if a POST comes from another site's page. */
static bool is_foreign_post(struct evhttp_request *request)
{
    const struct slice origin = request_field(request, "Origin");
    const struct slice site = request_field(request, "Sec-Fetch-Site");
    if (evhttp_find_header(evhttp_request_get_input_headers(request), "Origin") &&
        !origin_is_host(origin, request_field(request, "Host")))
        return true;
    if (site.len > 0 && !slice_equal(site, "same-origin") && !slice_equal(site, "none"))
        return true;
    const bool browser =
        origin.len > 0 || site.len > 0 || request_field(request, "Referer").len > 0;
    return browser && is_form_content_type(request_field(request, "Content-Type"));
}

/* ---- The answer ---- */

static void refuse_request(struct evhttp_request *request, int status, const char *why)
{
    static struct log_limit limit;
    const struct slice host = request_field(request, "Host");
    const struct slice origin = request_field(request, "Origin");
    if (log_allow(&limit, 1, NULL))
        log_warn("admin_refused", "status=%d host=%s origin=%s why=%s", status,
                 log_quote(host.at, host.len), log_quote(origin.at, origin.len),
                 log_quote(why, strlen(why)));
    admin_answer_error(request, status, why);
}

static bool refuse_without_token(struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "WWW-Authenticate", "Bearer realm=\"wspushd\"");
    evhttp_add_header(headers, "WWW-Authenticate", "Basic realm=\"wspushd\", charset=\"UTF-8\"");
    refuse_request(request, UNAUTHORIZED,
                   "admin_token of push.conf is needed: send Authorization: Bearer TOKEN");
    return false;
}

bool admin_guard_admits(struct worker *worker, struct evhttp_request *request)
{
    const struct config *config = worker->config;
    const char *token = config->admin_token, *why = NULL;
    if (*token && !request_has_token(request, token))
        return refuse_without_token(request);
    if (!*token && !is_own_host(config, request_host(request)))
        why = "Host is not an address, localhost or one of admin_hosts of push.conf";
    else if (evhttp_request_get_command(request) == EVHTTP_REQ_POST && is_foreign_post(request))
        why = "a page of another origin may not do this; a page of this one must send JSON";
    if (why)
        refuse_request(request, FORBIDDEN, why);
    return !why;
}
