/*
 * The PROXY protocol, versions 1 and 2: what a load balancer says of its client before the first
 * byte of it (haproxy.org, proxy-protocol.txt, 2020/03/05).
 */
#ifndef WSPUSHD_PROTO_PROXY_H
#define WSPUSHD_PROTO_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    PROXY_MAX = 4096, /* bytes of a header: version 1 has 107 at most, version 2 any number */
    PROXY_BAD = -1    /* not a PROXY header, or longer */
};

struct proxy_header {
    bool has_client;     /* false: the balancer speaks for itself, or does not know */
    uint8_t address[16]; /* the client's; IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};

/* Reads a header of either version at the beginning of the bytes. Returns its length, 0 when more
 * is needed, or PROXY_BAD at the first byte that cannot be right. */
ssize_t proxy_parse(struct proxy_header *header, const uint8_t *bytes, size_t len);

#endif
