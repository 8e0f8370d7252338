/*
 * Web origins (RFC 6454): is a page of the origin that a browser names in `Origin` the server's
 * own, or one that push.conf lists? And hosts as `Host` names them (RFC 9110 §7.2).
 */
#ifndef WSPUSHD_PROTO_ORIGIN_H
#define WSPUSHD_PROTO_ORIGIN_H

#include "proto/http.h"

/* A host and its port, as they stand in `Host` or in an origin. Borrows from the text. */
struct host_port {
    struct slice host; /* an IPv6 address keeps its brackets */
    unsigned port;     /* 0: none is given */
};

/* Splits "host", "host:port" or "[::1]:port". False if the text is neither. */
bool host_port_parse(struct slice text, struct host_port *out);

/* True if the host is an IPv4 or IPv6 address, which no DNS answer can redirect. */
bool host_is_address(struct slice host);

/* True if the origin has the host and the port of `host`, the value of a Host field. A port that
 * one of them leaves out is the default of the origin's scheme: 80 for http and ws, 443 for https
 * and wss (RFC 6454 §4). Schemes are not compared, because TLS may end in a proxy. */
bool origin_is_host(struct slice origin, struct slice host);

/* True if the origin is the one that the pattern names, with or without the default port. If the
 * pattern's host begins with "*.", the star stands for exactly one label. "*" is any origin; every
 * other text ("null", "file://") stands for itself. ws and wss count as http and https. */
bool origin_matches(struct slice origin, const char *pattern);

#endif
