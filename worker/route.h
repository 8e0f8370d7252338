/*
 * Routes the replies of Redis on the subscription link: by their kind, and pushes by their channel.
 */
#ifndef WSPUSHD_WORKER_ROUTE_H
#define WSPUSHD_WORKER_ROUTE_H

#include "proto/resp.h"
#include "worker/worker.h"

/* Handles one reply, up to handing frames to the outbox. `position`: of its end in the stream of
 * the link, in bytes. Returns false if a ring had no room: the reply must then be routed again. */
bool route_reply(struct worker *worker, const struct resp_reply *reply, uint64_t position);

#endif
