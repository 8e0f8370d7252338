/*
 * Looks up the addresses of Redis, without blocking the loop.
 *
 * A number or a unix socket's path is answered at once. A name is looked up by getaddrinfo(3) in a
 * process of its own, so that nsswitch.conf(5), hosts(5) and resolv.conf(5) mean here what they
 * mean everywhere else on the machine. A look-up is made for each connect: a failover may have
 * moved the name.
 */
#ifndef WSPUSHD_WORKER_REDIS_RESOLVE_H
#define WSPUSHD_WORKER_REDIS_RESOLVE_H

#include "worker/worker.h"

#include <sys/socket.h>

enum { REDIS_ADDRESSES_MAX = 16 /* of one name; further ones are not tried */ };

struct redis_addresses {
    uint32_t count; /* at least 1 where a look-up has succeeded */
    struct {
        struct sockaddr_storage addr;
        socklen_t len;
    } at[REDIS_ADDRESSES_MAX]; /* in the order of RFC 6724, as getaddrinfo(3) returns them */
};

/* Called once for each look-up that is not cancelled. `found` is borrowed; NULL if the look-up
 * failed, for the reason given. The handler may begin another look-up. */
typedef void redis_resolved(void *arg, const struct redis_addresses *found, const char *why);

struct redis_lookup;

/* Begins a look-up. Calls `done` before it returns NULL if the answer needs no process; otherwise
 * returns the look-up, which is owned by this module and ends with the call of `done` or with
 * redis_resolve_cancel. */
struct redis_lookup *redis_resolve(struct worker *worker, const struct redis_address *address,
                                   redis_resolved *done, void *arg);

/* Ends a look-up: `done` will not be called. */
void redis_resolve_cancel(struct redis_lookup *lookup);

#endif
