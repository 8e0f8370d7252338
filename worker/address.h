/*
 * Where a client comes from, in its record.
 */
#ifndef WSPUSHD_WORKER_ADDRESS_H
#define WSPUSHD_WORKER_ADDRESS_H

#include "worker/worker.h"

#include <stddef.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_MAX = 64 };

/* Notes the peer of an accepted socket, and whether it is trusted to name its client. */
void address_accepted(struct worker *worker, struct conn *conn, const struct sockaddr *addr);

/* A trusted peer has named its client, whose own words are believed no more, unless it is a trusted
 * proxy itself. `port` 0: not known. */
void address_named(struct worker *worker, struct conn *conn, const uint8_t address[16],
                   uint16_t port);

/* Writes "192.0.2.1:40112", without the port where it is not known, or "unix", and returns it. */
const char *address_text(const struct conn *conn, char out[ADDRESS_TEXT_MAX]);

#endif
