/*
 * Listening sockets: opened by the master, used by all workers through the shared descriptor table.
 */
#ifndef WSPUSHD_MASTER_LISTEN_H
#define WSPUSHD_MASTER_LISTEN_H

#include "common/config.h"

#include <stddef.h>

/* The listening sockets of a configuration. */
struct listeners {
    int *fd; /* one for each of config->listen_at */
    size_t count;
    int admin; /* -1: none */
};

/*
 * Opens the sockets of `config`: non-blocking, with the options that accepted sockets inherit.
 * Reuses a socket of `old` (NULL: none) that is bound to the address, or one that was passed for it
 * (inherit.h, handover.h). Replaces a unix socket whose server is gone, but not one that accepts
 * connections. Returns 0, or -1 after logging why; then nothing has changed.
 */
int listeners_open(struct listeners *listeners, const struct config *config,
                   const struct listeners *old);

/* Closes the sockets of `old` except those that `fresh` (NULL: none) reuses, and frees it. Removes
 * the file of a unix socket unless systemd passed the socket. */
void listeners_close(struct listeners *old, const struct listeners *fresh);

#endif
