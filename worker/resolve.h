/*
 * Where Redis is. Numeric addresses and unix sockets are answered at once; a name is looked up by
 * libevent's resolver, without blocking the loop, at every connect: a failover may have moved it.
 */
#ifndef WSPUSHD_WORKER_RESOLVE_H
#define WSPUSHD_WORKER_RESOLVE_H

#include "worker/worker.h"

#include <sys/socket.h>

/* Called once for each resolve(): `addr` NULL means that it failed, for the reason given. */
typedef void resolve_done(struct worker *worker, const struct sockaddr *addr, socklen_t len,
                          const char *why);

void resolve(struct worker *worker, const struct redis_address *address, resolve_done *done);

#endif
