/*
 * Whether a Redis is one that this server can work with: a primary that stands alone. A replica
 * refuses what clients ask for, and a PUBLISH at its primary does not count who is subscribed here;
 * a node of a Cluster redirects requests.
 */
#ifndef WSPUSHD_WORKER_REDIS_ROLE_H
#define WSPUSHD_WORKER_REDIS_ROLE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

/* Looks at the reply to ROLE. Returns true, with what it is in `why`, if it is no primary. */
bool redis_role_is_wrong(const redisReply *role, char *why, size_t size);

/* The same for the reply to INFO replication, which costs less to read. */
bool redis_replication_is_wrong(const redisReply *info, char *why, size_t size);

/* Looks at the reply to INFO cluster. Returns true, with why, if it is part of a Cluster. */
bool redis_cluster_is_wrong(const redisReply *info, char *why, size_t size);

#endif
