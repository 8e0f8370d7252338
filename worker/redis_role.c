/*
 * See redis_role.h. Replies that say nothing of it (an error, an older Redis) are not wrong.
 */
#include "worker/redis_role.h"

#include <stdio.h>
#include <stdlib.h>
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

static void describe_replica(const char *host, long long port, char *why, size_t size)
{
    snprintf(why, size, "it is a replica of %.64s:%lld (set redis in push.conf to the primary)",
             host, port);
}

bool redis_role_is_wrong(const redisReply *role, char *why, size_t size)
{
    if (role->type != REDIS_REPLY_ARRAY)
        return false;
    const char *name = text_of(role, 0);
    if (strcmp(name, "slave") == 0)
        describe_replica(text_of(role, 1), number_of(role, 2), why, size);
    else if (strcmp(name, "sentinel") == 0)
        snprintf(why, size, "it is a sentinel (set redis in push.conf to the primary)");
    else
        return false;
    return true;
}

/* Copies the value of a line "name:value" of INFO; "" if there is none. `name` begins with the end
 * of the line before. */
static const char *info_value(const char *info, const char *name, char *out, size_t size)
{
    const char *line = strstr(info, name);
    const char *value = line ? line + strlen(name) : "";
    snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
    return out;
}

bool redis_replication_is_wrong(const redisReply *info, char *why, size_t size)
{
    char role[16], host[65], port[8];
    if (info->type != REDIS_REPLY_STRING ||
        strcmp(info_value(info->str, "\nrole:", role, sizeof(role)), "slave") != 0)
        return false;
    info_value(info->str, "\nmaster_host:", host, sizeof(host));
    info_value(info->str, "\nmaster_port:", port, sizeof(port));
    describe_replica(host, strtoll(port, NULL, 10), why, size);
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
