/*
 * See origin.h. Two origins are the same if their scheme, host and port are (RFC 6454 §5), whatever
 * the case of letters and whether or not a default port is written. Clients that are not browsers
 * name the endpoint itself as their origin, wss://host (SocketRocket on iOS), where a browser would
 * send https://host; so ws and wss are read as http and https.
 *
 * Text that is not scheme://host[:port] (a path, a user, "null") is never the server's own origin,
 * and matches only a pattern of the same text.
 */
#include "proto/origin.h"

#include "proto/forwarded.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

struct origin {
    struct slice scheme;
    struct host_port at; /* 0: not given, and the scheme has no default */
};

struct scheme {
    const char *name, *read_as;
    unsigned port;
};

static const struct scheme schemes[] = {
    {"http", "http", 80}, {"https", "https", 443}, {"ws", "http", 80}, {"wss", "https", 443}};

/* Returns the row of a scheme that has a default port, or NULL. */
static const struct scheme *find_origin_scheme(struct slice name)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (slice_equal_nocase(name, schemes[i].name))
            return &schemes[i];
    return NULL;
}

/* Parses a port of 1 to 5 digits. Returns 0 if it is invalid. */
static unsigned parse_port_digits(struct slice digits)
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

/* Returns the length of the host at the beginning of "host[:port]". */
static size_t measure_host_length(struct slice text)
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
    const size_t len = measure_host_length(text);
    *out = (struct host_port){{text.at, len}, 0};
    for (size_t i = 0; i < len; i++)
        if (strchr("/?#@\\ ,", text.at[i])) /* also true of a NUL */
            return false;
    if (len == text.len)
        return len > 0;
    if (len == 0 || text.at[len] != ':')
        return false;
    out->port = parse_port_digits((struct slice){text.at + len + 1, text.len - len - 1});
    return out->port > 0;
}

bool host_is_address(struct slice host)
{
    uint8_t address[16];
    return address_parse(host, address);
}

/* Parses "scheme://host[:port]". The default port of the scheme is filled in if none is given. */
static bool parse_origin_text(struct slice text, struct origin *out)
{
    const char *const mark = memmem(text.at, text.len, "://", 3);
    if (!mark || mark == text.at)
        return false;
    out->scheme = (struct slice){text.at, (size_t)(mark - text.at)};
    if (!host_port_parse((struct slice){mark + 3, text.len - out->scheme.len - 3}, &out->at))
        return false;
    const struct scheme *const scheme = find_origin_scheme(out->scheme);
    if (scheme) {
        out->scheme = (struct slice){scheme->read_as, strlen(scheme->read_as)};
        out->at.port = out->at.port ? out->at.port : scheme->port;
    }
    return true;
}

static bool slices_equal_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && strncasecmp(a.at, b.at, a.len) == 0;
}

bool origin_is_host(struct slice origin, struct slice host)
{
    struct origin page;
    struct host_port own;
    if (!parse_origin_text(origin, &page) || !host_port_parse(host, &own))
        return false;
    const struct scheme *const scheme = find_origin_scheme(page.scheme);
    if (own.port == 0 && scheme)
        own.port = scheme->port;
    return own.port == page.at.port && slices_equal_nocase(own.host, page.at.host);
}

/* True if the host equals the pattern, or is one label followed by the part after the star of
 * "*.example.org". */
static bool host_matches_pattern(struct slice host, struct slice pattern)
{
    if (pattern.len < 2 || memcmp(pattern.at, "*.", 2) != 0)
        return slices_equal_nocase(host, pattern);
    const char *const dot = memchr(host.at, '.', host.len);
    if (!dot || dot == host.at)
        return false;
    const size_t label = (size_t)(dot - host.at);
    return slices_equal_nocase((struct slice){dot, host.len - label},
                               (struct slice){pattern.at + 1, pattern.len - 1});
}

bool origin_matches(struct slice origin, const char *pattern)
{
    struct origin page, wanted;
    if (strcmp(pattern, "*") == 0)
        return true;
    if (!parse_origin_text(origin, &page) ||
        !parse_origin_text((struct slice){pattern, strlen(pattern)}, &wanted))
        return slice_equal_nocase(origin, pattern);
    return slices_equal_nocase(page.scheme, wanted.scheme) && page.at.port == wanted.at.port &&
           host_matches_pattern(page.at.host, wanted.at.host);
}
