/*
 * The parts of a WebSocket URL (RFC 6455 §3):
 *
 *   ws://host[:port][/path][?query]       TCP, port 80 unless given
 *   wss://host[:port][/path][?query]      TLS, port 443 unless given
 *   ws+unix:///path/of/socket[:/path][?query]
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_URL_H
#define WSPUSHD_TOOLS_WSPUSH_URL_H

#include "tools/wspush_buffer.h"

#include <stdbool.h>

/* Each part is followed by a NUL, which is not counted. */
struct url {
    bool tls;
    bool is_unix;
    struct buffer host;      /* or the path of the socket; IPv6 without brackets */
    struct buffer port;      /* digits */
    struct buffer authority; /* for the Host header */
    struct buffer target;    /* path and query, for the request line */
};

/* Fills an all-zero `url`. `user` (may be NULL) is added to the query as user=..., encoded. Returns
 * NULL, or a description of the error. */
const char *url_parse(struct url *url, const char *text, const char *user);
void url_free(struct url *url);

#endif
