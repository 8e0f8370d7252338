/*
 * See origin.h. Two origins are the same if scheme, host and port are (RFC 6454 §5), however they
 * are written: letters in any case, the scheme's own port named or not. Clients that are no
 * browsers name the endpoint as their origin, wss://host (SocketRocket on iOS), which is where
 * https://host pages come from, so ws and wss are read as http and https.
 *
 * Text that is no scheme://host[:port] (a path, a user, "null") is never the server's own origin,
 * and matches only a pattern of the same text.
 */
#include "proto/origin.h"

#include "proto/forwarded.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

struct origin {
    struct slice scheme;
    struct host_port at; /* port 0: the scheme has no default, and none is given */
};

struct scheme {
    const char *name, *read_as;
    unsigned port;
};

static const struct scheme schemes[] = {
    {"http", "http", 80}, {"https", "https", 443}, {"ws", "http", 80}, {"wss", "https", 443}};

/* Returns the row of a scheme that has a default port, or NULL. */
static const struct scheme *scheme_find(struct slice name)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (slice_equal_nocase(name, schemes[i].name))
            return &schemes[i];
    return NULL;
}

/* Reads a port of 1 to 5 digits, or returns 0. */
static unsigned port_parse(struct slice digits)
{
    unsigned port = 0;
    if (digits.len == 0 || digits.len > 5)
        return 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return 0;
        port = port * 10 + (unsigned)(digits.at[i] - '0');
    }
    return port <= UINT16_MAX ? port : 0;
}

/* The length of the host at the beginning of "host[:port]". */
static size_t host_length(struct slice text)
{
    const char *end = NULL;
    if (text.len > 0 && text.at[0] == '[')
        end = memchr(text.at, ']', text.len);
    else
        end = memchr(text.at, ':', text.len);
    if (end && *end == ']')
        end++;
    return end ? (size_t)(end - text.at) : text.len;
}

bool host_port_parse(struct slice text, struct host_port *out)
{
    const size_t len = host_length(text);
    *out = (struct host_port){{text.at, len}, 0};
    for (size_t i = 0; i < len; i++)
        if (strchr("/?#@\\ ,", text.at[i])) /* also a NUL */
            return false;
    if (len == text.len)
        return len > 0;
    if (len == 0 || text.at[len] != ':')
        return false;
    out->port = port_parse((struct slice){text.at + len + 1, text.len - len - 1});
    return out->port > 0;
}

bool host_is_address(struct slice host)
{
    uint8_t address[16];
    return address_parse(host, address);
}

/* Reads "scheme://host[:port]". The port is the scheme's where none is given. */
static bool origin_parse(struct slice text, struct origin *out)
{
    const char *const mark = memmem(text.at, text.len, "://", 3);
    if (!mark || mark == text.at)
        return false;
    out->scheme = (struct slice){text.at, (size_t)(mark - text.at)};
    if (!host_port_parse((struct slice){mark + 3, text.len - out->scheme.len - 3}, &out->at))
        return false;
    const struct scheme *const scheme = scheme_find(out->scheme);
    if (scheme) {
        out->scheme = (struct slice){scheme->read_as, strlen(scheme->read_as)};
        out->at.port = out->at.port ? out->at.port : scheme->port;
    }
    return true;
}

static bool same_text(struct slice a, struct slice b)
{
    return a.len == b.len && strncasecmp(a.at, b.at, a.len) == 0;
}

bool origin_is_host(struct slice origin, struct slice host)
{
    struct origin page;
    struct host_port own;
    if (!origin_parse(origin, &page) || !host_port_parse(host, &own))
        return false;
    const struct scheme *const scheme = scheme_find(page.scheme);
    if (own.port == 0 && scheme)
        own.port = scheme->port;
    return own.port == page.at.port && same_text(own.host, page.at.host);
}

/* True if the host is the pattern, or one label and what follows the star of "*.example.org". */
static bool host_matches(struct slice host, struct slice pattern)
{
    if (pattern.len < 2 || memcmp(pattern.at, "*.", 2) != 0)
        return same_text(host, pattern);
    const char *const dot = memchr(host.at, '.', host.len);
    if (!dot || dot == host.at)
        return false;
    const size_t label = (size_t)(dot - host.at);
    return same_text((struct slice){dot, host.len - label},
                     (struct slice){pattern.at + 1, pattern.len - 1});
}

bool origin_matches(struct slice origin, const char *pattern)
{
    struct origin page, wanted;
    if (strcmp(pattern, "*") == 0)
        return true;
    if (!origin_parse(origin, &page) ||
        !origin_parse((struct slice){pattern, strlen(pattern)}, &wanted))
        return slice_equal_nocase(origin, pattern);
    return same_text(page.scheme, wanted.scheme) && page.at.port == wanted.at.port &&
           host_matches(page.at.host, wanted.at.host);
}
