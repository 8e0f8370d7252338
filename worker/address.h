/*
 * The client's address, kept in the connection's record.
 */
#ifndef WSPUSHD_WORKER_ADDRESS_H
#define WSPUSHD_WORKER_ADDRESS_H

#include "worker/worker.h"

#include <stddef.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_MAX = 64 };

/* Records the peer of an accepted socket, and whether that peer is trusted to name its client. */
void address_accepted(struct worker *worker, struct conn *conn, const struct sockaddr *addr);

/* Records the address that a trusted peer has named as its client's. The client may not name
 * another, unless it is a trusted proxy itself. `port` is 0 if unknown. */
void address_named(struct worker *worker, struct conn *conn, const uint8_t address[16],
                   uint16_t port);

/* Writes "192.0.2.1:40112" (without the port if it is unknown) or "unix" into `out`, and returns
 * `out`. */
const char *address_text(const struct conn *conn, char out[ADDRESS_TEXT_MAX]);

#endif
