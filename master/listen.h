/*
 * Listening sockets: made by the master, shared by all workers through the one descriptor table.
 */
#ifndef WSPUSHD_MASTER_LISTEN_H
#define WSPUSHD_MASTER_LISTEN_H

#include "common/config.h"

#include <stddef.h>

/* The sockets that a configuration asks for. */
struct listeners {
    int *fd; /* one for each of config->listen_at */
    size_t count;
    int admin; /* -1: none */
};

/*
 * Opens what `config` asks for: non-blocking, with the options that accepted sockets are to have. A
 * socket of `old` (NULL: none) that is bound to the address is used on; so is one that was passed
 * for it (inherit.h, handover.h). A unix socket whose server is gone is replaced, one that answers
 * is not. Returns 0, or -1 after logging why: then everything is as it was.
 */
int listeners_open(struct listeners *listeners, const struct config *config,
                   const struct listeners *old);

/* Closes the sockets of `old` but those that `fresh` (NULL: nobody) uses on, and frees it. The file
 * of a unix socket is removed unless it was passed to us. */
void listeners_close(struct listeners *old, const struct listeners *fresh);

#endif
