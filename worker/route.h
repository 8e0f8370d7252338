/*
 * What Redis sent on the subscription link: by its kind, and a push by its channel.
 */
#ifndef WSPUSHD_WORKER_ROUTE_H
#define WSPUSHD_WORKER_ROUTE_H

#include "proto/resp.h"
#include "worker/worker.h"

/* Deals with one reply, up to handing frames to the outbox. `position`: of its end in all that
 * came on the link. Returns false where a ring had no room: the reply is not dealt with then. */
bool route_reply(struct worker *worker, const struct resp_reply *reply, uint64_t position);

#endif
