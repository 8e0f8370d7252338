/*
 * Web origins (RFC 6454): decides whether the page that a browser names in `Origin` belongs to this
 * server or is listed in push.conf. Also parses the hosts of `Host` (RFC 9110 §7.2).
 */
#ifndef WSPUSHD_PROTO_ORIGIN_H
#define WSPUSHD_PROTO_ORIGIN_H

#include "proto/http.h"

/* A host and its port, as in `Host` or in an origin. Borrows from the text. */
struct host_port {
    struct slice host; /* an IPv6 address keeps its brackets */
    unsigned port;     /* 0: not given */
};

/* Splits "host", "host:port" or "[::1]:port". Returns false if the text is none of them. */
bool host_port_parse(struct slice text, struct host_port *out);

/* True if the host is an IPv4 or IPv6 address, which no DNS answer can redirect. */
bool host_is_address(struct slice host);

/* True if the origin has the host and the port of `host`, the value of a Host field. A missing port
 * is the default of the origin's scheme: 80 for http and ws, 443 for https and wss (RFC 6454 §4).
 * Schemes are not compared, because a proxy may terminate TLS. */
bool origin_is_host(struct slice origin, struct slice host);

/* True if the pattern names the origin, with or without the default port. If the pattern's host
 * starts with "*.", the star matches exactly one label. "*" matches every origin; any other text
 * ("null", "file://") matches only itself. ws and wss count as http and https. */
bool origin_matches(struct slice origin, const char *pattern);

#endif
