/*
 * The last kicks: each has a number, those after a login end it, and forgotten ones are detected.
 */
#include "shm/kicks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct kicks *kicks;

static int begin(void **state)
{
    (void)state;
    kicks = calloc(1, sizeof(*kicks));
    return kicks ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    free(kicks);
    return 0;
}

static void add(const char *user, uint64_t origin)
{
    struct kick kick = {.origin = origin, .code = 4001, .user_len = (uint8_t)strlen(user)};

    memcpy(kick.user, user, kick.user_len);
    snprintf(kick.reason, sizeof(kick.reason), "%llu", (unsigned long long)origin);
    kicks_append(kicks, &kick);
    assert_true(kicks_valid(kicks));
}

static enum kicks_verdict judge(const char *user, uint64_t made, struct kick *kick)
{
    struct conn conn = {.user_len = (uint8_t)strlen(user)};

    memcpy(conn.user, user, conn.user_len);
    return kicks_judge(kicks, made, &conn, kick);
}

static void a_login_made_before_a_kick_ends_and_one_made_after_it_stays(void **state)
{
    (void)state;
    struct kick kick;
    assert_int_equal(judge("alice", 0, &kick), KICKS_SPARE);
    add("alice", 100);
    add("bob", 200);
    assert_int_equal(kicks_count(kicks), 2);
    assert_int_equal(judge("alice", 0, &kick), KICKS_END);
    assert_string_equal(kick.reason, "100");
    assert_int_equal(kick.code, 4001);
    assert_int_equal(judge("alice", 1, &kick), KICKS_SPARE);
    assert_int_equal(judge("bob", 1, &kick), KICKS_END);
    assert_int_equal(judge("bob", 2, &kick), KICKS_SPARE);
    assert_int_equal(judge("carol", 0, &kick), KICKS_SPARE);
}

static void the_last_of_several_kicks_is_the_one_that_counts(void **state)
{
    (void)state;
    struct kick kick;
    add("alice", 100);
    add("alice", 200);
    assert_int_equal(judge("alice", 0, &kick), KICKS_END);
    assert_string_equal(kick.reason, "200");
}

static void what_a_death_makes_come_again_is_there_once(void **state)
{
    (void)state;
    add("alice", 100);
    add("alice", 100);
    assert_int_equal(kicks_count(kicks), 1);
    add("alice", 200);
    assert_int_equal(kicks_count(kicks), 2);
}

static void a_login_of_long_ago_is_known_to_be_forgotten(void **state)
{
    (void)state;
    struct kick kick;
    add("alice", 1);
    for (uint64_t i = 2; i <= KICKS_MAX / 2; i++)
        add("bob", i);
    assert_int_equal(judge("alice", 0, &kick), KICKS_END);
    for (uint64_t i = 0; i < 2 * KICKS_MAX; i++)
        add("bob", KICKS_MAX + i);
    assert_int_equal(judge("alice", 0, &kick), KICKS_FORGOTTEN);
    assert_int_equal(judge("alice", kicks_count(kicks) - KICKS_MAX / 2, &kick), KICKS_SPARE);
    atomic_store(&kicks->at[kicks_count(kicks) % KICKS_MAX].number,
                 0); /* as while it is overwritten */
    assert_int_equal(judge("alice", kicks_count(kicks) - 1, &kick), KICKS_FORGOTTEN);
}

static void broken_kicks_are_not_valid(void **state)
{
    (void)state;
    add("alice", 1);
    struct kick *const kick = &kicks->at[1];
    atomic_store(&kick->number, 7);
    assert_false(kicks_valid(kicks));
    atomic_store(&kick->number, 1);
    kick->user_len = 0;
    assert_false(kicks_valid(kicks));
    kick->user_len = 5;
    memset(kick->reason, 'x', sizeof(kick->reason));
    assert_false(kicks_valid(kicks));
    kick->reason[0] = '\0';
    assert_true(kicks_valid(kicks));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_login_made_before_a_kick_ends_and_one_made_after_it_stays,
                                        begin, end),
        cmocka_unit_test_setup_teardown(the_last_of_several_kicks_is_the_one_that_counts, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_a_death_makes_come_again_is_there_once, begin, end),
        cmocka_unit_test_setup_teardown(a_login_of_long_ago_is_known_to_be_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(broken_kicks_are_not_valid, begin, end),
    };
    return cmocka_run_group_tests_name("kicks", tests, NULL, NULL);
}
