/*
 * Finds the client of a request that came through proxies. Each proxy appends to X-Forwarded-For
 * the address from which the request reached it.
 */
#ifndef WSPUSHD_PROTO_FORWARDED_H
#define WSPUSHD_PROTO_FORWARDED_H

#include "proto/http.h"

#include <stdint.h>

/* Parses "192.0.2.1", "192.0.2.1:80", "2001:db8::1" or "[2001:db8::1]:80" into 16 bytes; an IPv4
 * address becomes ::ffff:a.b.c.d. Returns false if the text is not an address. */
bool address_parse(struct slice text, uint8_t out[16]);

/* True if the address belongs to a trusted proxy. */
typedef bool address_trusted(const void *context, const uint8_t address[16]);

/*
 * Finds the client of a request whose peer is a trusted proxy: the rightmost address that is not a
 * trusted proxy, or the leftmost address if all are. Everything to the left of it may have been
 * forged by the client. Returns false if the header names no client; then only the peer is known.
 */
bool forwarded_client(const struct http_request *request, address_trusted *trusted,
                      const void *context, uint8_t out[16]);

#endif
