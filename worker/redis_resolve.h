/*
 * Looks up the addresses of Redis, without blocking the loop.
 *
 * A numeric address or the path of a unix socket is answered at once. A name is looked up by
 * getaddrinfo(3) in a separate process, so that nsswitch.conf(5), hosts(5) and resolv.conf(5) apply
 * here as for any other program. Every connect looks the name up again, because a failover may have
 * moved it.
 */
#ifndef WSPUSHD_WORKER_REDIS_RESOLVE_H
#define WSPUSHD_WORKER_REDIS_RESOLVE_H

#include "worker/worker.h"

#include <sys/socket.h>

enum { REDIS_ADDRESSES_MAX = 16 /* of one name; further addresses are not tried */ };

struct redis_addresses {
    uint32_t count; /* at least 1 if the look-up has succeeded */
    struct {
        struct sockaddr_storage addr;
        socklen_t len;
    } at[REDIS_ADDRESSES_MAX]; /* in the order of RFC 6724, as getaddrinfo(3) returns them */
};

/* Called once for each look-up that is not cancelled. `found` is borrowed; it is NULL if the
 * look-up failed, and `why` is the reason. The handler may begin another look-up. */
typedef void redis_resolved(void *arg, const struct redis_addresses *found, const char *why);

struct redis_lookup;

/* Begins a look-up. If no process is needed, calls `done` and returns NULL. Otherwise returns the
 * look-up, owned by this module; it ends when `done` is called or with redis_resolve_cancel. */
struct redis_lookup *redis_resolve(struct worker *worker, const struct redis_address *address,
                                   redis_resolved *done, void *arg);

/* Cancels a look-up: `done` is not called. */
void redis_resolve_cancel(struct redis_lookup *lookup);

#endif
