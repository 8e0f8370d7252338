/*
 * Checks that a Redis is one that this server can work with: a primary outside of a Cluster. A
 * replica refuses clients' requests, and a PUBLISH at its primary does not count subscribers here;
 * a node of a Cluster redirects requests.
 */
#ifndef WSPUSHD_WORKER_REDIS_ROLE_H
#define WSPUSHD_WORKER_REDIS_ROLE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

/* True if the reply to ROLE is not that of a primary; `why` then names the actual role. */
bool redis_role_is_wrong(const redisReply *role, char *why, size_t size);

/* Does the same for the reply to INFO replication, which is cheaper for Redis to produce. */
bool redis_replication_is_wrong(const redisReply *info, char *why, size_t size);

/* True if the reply to INFO cluster is that of a node of a Cluster; `why` then says so. */
bool redis_cluster_is_wrong(const redisReply *info, char *why, size_t size);

#endif
