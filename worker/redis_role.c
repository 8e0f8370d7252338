/*
 * See redis_role.h. Replies that say nothing of it (an error, an older Redis) are not wrong.
 */
#include "worker/redis_role.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const redisReply *array, size_t i)
{
    return array->elements > i && array->element[i]->type == REDIS_REPLY_STRING
               ? array->element[i]->str
               : "";
}

static long long number_of(const redisReply *array, size_t i)
{
    return array->elements > i && array->element[i]->type == REDIS_REPLY_INTEGER
               ? array->element[i]->integer
               : 0;
}

bool redis_role_is_wrong(const redisReply *role, char *why, size_t size)
{
    if (role->type != REDIS_REPLY_ARRAY)
        return false;
    const char *name = text_of(role, 0);
    if (strcmp(name, "slave") == 0)
        snprintf(why, size, "it is a replica of %.64s:%lld (set redis in push.conf to the primary)",
                 text_of(role, 1), number_of(role, 2));
    else if (strcmp(name, "sentinel") == 0)
        snprintf(why, size, "it is a sentinel (set redis in push.conf to the primary)");
    else
        return false;
    return true;
}

bool redis_cluster_is_wrong(const redisReply *info, char *why, size_t size)
{
    if (info->type != REDIS_REPLY_STRING || !strstr(info->str, "cluster_enabled:1"))
        return false;
    snprintf(why, size,
             "it is a node of a Cluster, which this version does not support (set redis "
             "in push.conf to a Redis that stands alone)");
    return true;
}
