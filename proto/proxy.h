/*
 * The PROXY protocol, versions 1 and 2: a header that a load balancer sends before the client's
 * first byte, with the client's address (haproxy.org, proxy-protocol.txt, 2020/03/05).
 */
#ifndef WSPUSHD_PROTO_PROXY_H
#define WSPUSHD_PROTO_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    PROXY_MAX = 4096, /* maximum length of a header in bytes: version 1 allows 107, version 2 any */
    PROXY_BAD = -1    /* not a PROXY header, or too long */
};

struct proxy_header {
    bool has_client;     /* false: the balancer's own connection, or an unknown client */
    uint8_t address[16]; /* of the client; IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};

/* Parses a header of either version at the beginning of `bytes`. Returns its length, 0 if more
 * bytes are needed, or PROXY_BAD at the first invalid byte. */
ssize_t proxy_parse(struct proxy_header *header, const uint8_t *bytes, size_t len);

#endif
