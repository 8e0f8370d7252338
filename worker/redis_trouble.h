/*
 * The reason why a link to Redis is down: Redis's own words if it has said something, and its
 * address. The log, /readyz, /api/stats and wspushctl show the same text; any worker can read that
 * of any other.
 */
#ifndef WSPUSHD_WORKER_REDIS_TROUBLE_H
#define WSPUSHD_WORKER_REDIS_TROUBLE_H

#include "worker/worker.h"

/* Notes that a link is down for this reason and is tried again in `retry_ms`. Logs it, but does not
 * repeat the line while the reason stays the same. */
void redis_trouble_tell(struct worker *worker, enum redis_link link, const char *reason,
                        uint32_t retry_ms);

/* Notes that the link is up again. */
void redis_trouble_over(struct worker *worker, enum redis_link link);

/* Copies the first reason that any worker has. Returns false if there is none. */
bool redis_trouble_any(const struct worker *worker, char text[TROUBLE_TEXT_MAX]);

#endif
