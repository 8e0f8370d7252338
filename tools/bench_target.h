/*
 * The addresses that clients connect to and from. To a loopback address they come from many
 * addresses of 127/8, so that the 28,000 ports of one address are no limit, and no port is used
 * that an earlier run left in TIME_WAIT.
 */
#ifndef WSPUSHD_TOOLS_BENCH_TARGET_H
#define WSPUSHD_TOOLS_BENCH_TARGET_H

#include "tools/wspush_url.h"

#include <stdint.h>
#include <sys/socket.h>

struct target {
    struct sockaddr_storage address;
    socklen_t len;
    uint32_t source; /* the first source address; 0: chosen by the kernel */
};

/* Resolves the URL. Returns NULL, or a description of the error. */
const char *target_resolve(struct target *target, const struct url *url);

/* The same for HOST:PORT, for the publisher; `text` may end at a slash. */
const char *target_resolve_text(struct target *target, const char *text);

/* Returns a non-blocking socket that connects as the client of that number; -1 with errno. */
int target_connect(const struct target *target, uint32_t number);

#endif
