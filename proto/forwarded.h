/*
 * Which client a request comes from when proxies stand between: X-Forwarded-For, to which each
 * proxy appends the address that it was reached from.
 */
#ifndef WSPUSHD_PROTO_FORWARDED_H
#define WSPUSHD_PROTO_FORWARDED_H

#include "proto/http.h"

#include <stdint.h>

/* Reads "192.0.2.1", "192.0.2.1:80", "2001:db8::1" or "[2001:db8::1]:80" into 16 bytes, IPv4 as
 * ::ffff:a.b.c.d. */
bool address_parse(struct slice text, uint8_t out[16]);

/* Whether an address is one of our proxies'. */
typedef bool address_trusted(const void *context, const uint8_t address[16]);

/*
 * The client of a request whose peer is trusted: from the right, the first address that is no
 * proxy's; where all are, the leftmost. What stands left of it is what a client may have written
 * itself. Returns false where the header names nobody: then the peer is all that is known.
 */
bool forwarded_client(const struct http_request *request, address_trusted *trusted,
                      const void *context, uint8_t out[16]);

#endif
