/*
 * WebSocket URLs, split into what connect(2) and the handshake need. The target is made safe for
 * the request line: bytes that are invalid there are percent-encoded, so that a URL cannot add a
 * header. Refuses fragments (RFC 6455 §3), and passwords in the URL, which everyone could see in
 * ps(1): use --token, --cookie or --header.
 */
#include "tools/wspush_url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

struct scheme {
    const char *prefix;
    const char *port;
    bool tls, is_unix;
};
static const struct scheme schemes[] = {
    {"ws://", "80", false, false},
    {"wss://", "443", true, false},
    {"ws+unix://", "", false, true},
};

static const struct scheme *find_url_scheme(const char *text)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncasecmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return &schemes[i];
    }
    return NULL;
}

/* Appends `text`, and percent-encodes each byte that is not visible ASCII or is listed in `also`.
 */
static void append_percent_encoded(struct buffer *out, const char *text, const char *also)
{
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte <= ' ' || byte >= 0x7f || strchr(also, byte) != NULL)
            buffer_format(out, "%%%02X", byte);
        else
            buffer_append(out, text, 1);
    }
}

static const char *parse_url_port(struct url *url, const char *at, size_t len, const char *standard)
{
    unsigned long port = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)at[i]) || len > 5)
            return "the port is not a number";
        port = port * 10 + (unsigned long)(at[i] - '0');
    }
    if (len == 0)
        buffer_text(&url->port, standard);
    else if (port < 1 || port > 65535)
        return "the port must be from 1 to 65535";
    else
        buffer_format(&url->port, "%lu", port);
    return NULL;
}

/* Parses host, host:port, [v6] or [v6]:port. */
static const char *parse_url_authority(struct url *url, const char *at, size_t len,
                                       const char *standard_port)
{
    if (memchr(at, '@', len) != NULL)
        return "a user or password in the URL is not supported: use --token, --cookie or --header";
    for (size_t i = 0; i < len; i++) {
        if (!isgraph((unsigned char)at[i]))
            return "the host name must be ASCII (punycode) without spaces";
    }
    const char *end = at + len, *host = at, *host_end;
    if (len > 0 && *at == '[') {
        host = at + 1;
        host_end = memchr(at, ']', len);
        if (host_end == NULL)
            return "expected ] after the IPv6 address";
        at = host_end + 1;
    } else {
        host_end = memchr(at, ':', len);
        at = host_end = host_end != NULL ? host_end : end;
    }
    if (host == host_end)
        return "no host";
    if (at < end && *at != ':')
        return "only :port may follow the host";
    buffer_append(&url->host, host, (size_t)(host_end - host));
    if (at < end)
        at++;
    return parse_url_port(url, at, (size_t)(end - at), standard_port);
}

/* Composes the Host header, which omits the scheme's default port (RFC 9110 §7.2, RFC 6455 §4.1).
 */
static void compose_host_header(struct url *url, const char *standard_port)
{
    const char *host = buffer_string(&url->host);
    const char *port = buffer_string(&url->port);
    buffer_format(&url->authority, strchr(host, ':') != NULL ? "[%s]" : "%s", host);
    if (strcmp(port, standard_port) != 0)
        buffer_format(&url->authority, ":%s", port);
}

static const char *parse_socket_path(struct url *url, const char **rest)
{
    const size_t len = strcspn(*rest, ":?#");
    if (len == 0 || **rest != '/')
        return "expected the absolute path of the socket: ws+unix:///run/ws.sock:/ws";
    if (len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return "the socket's path is too long";
    buffer_append(&url->host, *rest, len);
    buffer_text(&url->authority, "localhost");
    *rest += len;
    if (**rest == ':')
        ++*rest;
    return NULL;
}

static void compose_request_target(struct url *url, const char *rest, const char *user)
{
    if (*rest != '/')
        buffer_text(&url->target, "/");
    append_percent_encoded(&url->target, rest, "");
    if (user != NULL) {
        buffer_text(&url->target, strchr(rest, '?') == NULL ? "?user=" : "&user=");
        append_percent_encoded(&url->target, user, "\"#%&'+,/:;<=>?@[\\]^`{|}");
    }
}

/* Terminates each part, so that it can be read as a C string. */
static void terminate_url_parts(struct url *url)
{
    buffer_string(&url->host);
    buffer_string(&url->port);
    buffer_string(&url->authority);
    buffer_string(&url->target);
}

const char *url_parse(struct url *url, const char *text, const char *user)
{
    const struct scheme *scheme = find_url_scheme(text);
    if (scheme == NULL)
        return "a URL must start with ws://, wss:// or ws+unix://";
    if (strchr(text, '#') != NULL)
        return "a WebSocket URL must not have a #fragment; write # as %23";
    url->tls = scheme->tls;
    url->is_unix = scheme->is_unix;
    const char *rest = text + strlen(scheme->prefix);
    const char *wrong;
    if (scheme->is_unix) {
        wrong = parse_socket_path(url, &rest);
    } else {
        const size_t len = strcspn(rest, "/?");
        wrong = parse_url_authority(url, rest, len, scheme->port);
        if (wrong == NULL)
            compose_host_header(url, scheme->port);
        rest += len;
    }
    if (wrong != NULL)
        return wrong;
    compose_request_target(url, rest, user);
    terminate_url_parts(url);
    return NULL;
}

void url_free(struct url *url)
{
    buffer_free(&url->host);
    buffer_free(&url->port);
    buffer_free(&url->authority);
    buffer_free(&url->target);
}
