/* Redis's report of its role: a standalone primary, or not. */
#include "worker/redis_role.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static redisReply text(const char *bytes)
{
    return (redisReply){
        .type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)bytes, .len = strlen(bytes)};
}

static redisReply number(long long value)
{
    return (redisReply){.type = REDIS_REPLY_INTEGER, .integer = value};
}

static bool role_is_wrong(redisReply **element, size_t count, char *why, size_t size)
{
    const redisReply role = {.type = REDIS_REPLY_ARRAY, .elements = count, .element = element};
    return redis_role_is_wrong(&role, why, size);
}

static void the_role_of_a_primary_is_right(void **state)
{
    redisReply name = text("master"), offset = number(3129659),
               replicas = {.type = REDIS_REPLY_ARRAY};
    char why[200] = "";
    (void)state;
    assert_false(role_is_wrong((redisReply *[]){&name, &offset, &replicas}, 3, why, sizeof(why)));
    assert_string_equal(why, "");
}

static void a_replica_names_its_primary(void **state)
{
    redisReply name = text("slave"), host = text("10.0.0.6"), port = number(6379);
    char why[200];
    (void)state;
    assert_true(role_is_wrong((redisReply *[]){&name, &host, &port}, 3, why, sizeof(why)));
    assert_non_null(strstr(why, "a replica of 10.0.0.6:6379 "));
    assert_true(role_is_wrong((redisReply *[]){&name}, 1, why, sizeof(why)));
}

static void a_sentinel_is_wrong(void **state)
{
    redisReply name = text("sentinel");
    char why[200];
    (void)state;
    assert_true(role_is_wrong((redisReply *[]){&name}, 1, why, sizeof(why)));
}

static void replies_that_say_nothing_are_not_wrong(void **state)
{
    const redisReply error = {.type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "ERR"};
    const redisReply empty = text("");
    char why[200];
    (void)state;
    assert_false(redis_role_is_wrong(&error, why, sizeof(why)));
    assert_false(redis_replication_is_wrong(&error, why, sizeof(why)));
    assert_false(redis_cluster_is_wrong(&error, why, sizeof(why)));
    assert_false(role_is_wrong(NULL, 0, why, sizeof(why)));
    assert_false(redis_replication_is_wrong(&empty, why, sizeof(why)));
    assert_false(redis_cluster_is_wrong(&empty, why, sizeof(why)));
}

static void replication_as_redis_7_has_it(void **state)
{
    const redisReply primary = text("# Replication\r\nrole:master\r\nconnected_slaves:1\r\n"
                                    "slave0:ip=10.0.0.6,port=6379,state=online,offset=1,lag=0\r\n");
    const redisReply replica = text("# Replication\r\nrole:slave\r\nmaster_host:10.0.0.6\r\n"
                                    "master_port:6380\r\nmaster_link_status:up\r\n");
    const redisReply bare = text("# Replication\r\nrole:slave\r\n");
    char why[200];
    (void)state;
    assert_false(redis_replication_is_wrong(&primary, why, sizeof(why)));
    assert_true(redis_replication_is_wrong(&replica, why, sizeof(why)));
    assert_non_null(strstr(why, "a replica of 10.0.0.6:6380 "));
    assert_true(redis_replication_is_wrong(&bare, why, sizeof(why)));
}

static void a_node_of_a_cluster_is_wrong(void **state)
{
    const redisReply alone = text("# Cluster\r\ncluster_enabled:0\r\n");
    const redisReply node = text("# Cluster\r\ncluster_enabled:1\r\n");
    char why[200];
    (void)state;
    assert_false(redis_cluster_is_wrong(&alone, why, sizeof(why)));
    assert_true(redis_cluster_is_wrong(&node, why, sizeof(why)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_role_of_a_primary_is_right),
        cmocka_unit_test(a_replica_names_its_primary),
        cmocka_unit_test(a_sentinel_is_wrong),
        cmocka_unit_test(replies_that_say_nothing_are_not_wrong),
        cmocka_unit_test(replication_as_redis_7_has_it),
        cmocka_unit_test(a_node_of_a_cluster_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
