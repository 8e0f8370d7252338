/*
 * Why a link to Redis is not up: in Redis's own words where it has said something, with its
 * address. The log, /readyz, /api/stats and wspushctl show the same text; any worker can read any
 * other's.
 */
#ifndef WSPUSHD_WORKER_REDIS_TROUBLE_H
#define WSPUSHD_WORKER_REDIS_TROUBLE_H

#include "worker/worker.h"

/* A link is down for this reason, and tries again in `retry_ms`. Logged, but not again and again
 * while the reason stays the same. */
void redis_trouble_tell(struct worker *worker, enum redis_link link, const char *reason,
                        uint32_t retry_ms);

/* The link is up. */
void redis_trouble_over(struct worker *worker, enum redis_link link);

/* Copies the first reason that any worker has. Returns whether there is one. */
bool redis_trouble_any(const struct worker *worker, char text[TROUBLE_TEXT_MAX]);

#endif
