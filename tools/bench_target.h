/*
 * Where clients connect to, and from which address. To a loopback address they come from many
 * others of 127/8, so that 28,000 ports of one are no limit, and none that an earlier run has left
 * in TIME_WAIT is met.
 */
#ifndef WSPUSHD_TOOLS_BENCH_TARGET_H
#define WSPUSHD_TOOLS_BENCH_TARGET_H

#include "tools/wspush_url.h"

#include <stdint.h>
#include <sys/socket.h>

struct target {
    struct sockaddr_storage address;
    socklen_t len;
    uint32_t source; /* the first own address; 0: the kernel's choice */
};

/* Resolves the URL. Returns NULL, or what is wrong. */
const char *target_resolve(struct target *target, const struct url *url);

/* The same for HOST:PORT, for the publisher; `text` may end at a slash. */
const char *target_resolve_text(struct target *target, const char *text);

/* A non-blocking socket that connects, as the client of that number; -1 with errno. */
int target_connect(const struct target *target, uint32_t number);

#endif
