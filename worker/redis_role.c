/*
 * See redis_role.h. A reply that says nothing about the role (an error, an older Redis) is
 * accepted.
 */
#include "worker/redis_role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *reply_element_text(const redisReply *array, size_t i)
{
    return array->elements > i && array->element[i]->type == REDIS_REPLY_STRING
               ? array->element[i]->str
               : "";
}

static long long reply_element_number(const redisReply *array, size_t i)
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
    const char *name = reply_element_text(role, 0);
    if (strcmp(name, "slave") == 0)
        describe_replica(reply_element_text(role, 1), reply_element_number(role, 2), why, size);
    else if (strcmp(name, "sentinel") == 0)
        snprintf(why, size, "it is a sentinel (set redis in push.conf to the primary)");
    else
        return false;
    return true;
}

/* Copies the value of a line "name:value" of INFO to `out`, "" if there is none, and returns it.
 * `name` begins with the end of the previous line. */
static const char *copy_info_value(const char *info, const char *name, char *out, size_t size)
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
        strcmp(copy_info_value(info->str, "\nrole:", role, sizeof(role)), "slave") != 0)
        return false;
    copy_info_value(info->str, "\nmaster_host:", host, sizeof(host));
    copy_info_value(info->str, "\nmaster_port:", port, sizeof(port));
    describe_replica(host, strtoll(port, NULL, 10), why, size);
    return true;
}

bool redis_cluster_is_wrong(const redisReply *info, char *why, size_t size)
{
    if (info->type != REDIS_REPLY_STRING || !strstr(info->str, "cluster_enabled:1"))
        return false;
    snprintf(why, size,
             "it is a node of a Cluster, which this version does not support (set redis "
             "in push.conf to a Redis outside of a Cluster)");
    return true;
}
