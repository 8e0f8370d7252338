/*
 * Listening sockets: made by the master, shared by all workers through the one descriptor table.
 */
#ifndef WSPUSHD_MASTER_LISTEN_H
#define WSPUSHD_MASTER_LISTEN_H

#include "common/config.h"

/*
 * Opens a non-blocking listening socket at `address`, or takes the one that was passed for it
 * (inherit.h). `send_buffer`: SO_SNDBUF that accepted sockets inherit, 0 for the kernel's default.
 * A unix socket whose server is gone is replaced, one that answers is not. Returns the descriptor,
 * or -1 after logging why.
 */
int listen_open(const struct listen_address *address, uint32_t send_buffer);

/* Closes the socket, and removes the file of a unix socket unless it was passed to us. */
void listen_close(const struct listen_address *address, int fd);

#endif
