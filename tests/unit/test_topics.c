/*
 * The table of topics: against a model, to the last record, and after SIGKILL at random moments.
 * The model is a matrix of connections and topics.
 */
#include "shm/topics.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { CAPACITY = 4096, CONNS = 256, NAMES = 64, OWNER = 3, OTHER = 2 };

/* Shared, so that a child that is killed leaves it as it was. */
struct world {
    struct topics_control control;
    uint32_t heads[CAPACITY];
    struct topic topic[CAPACITY];
    struct topic_member member[CAPACITY];
    struct conn table[CONNS];
    _Atomic uint64_t steps; /* of the child that is to be killed */
};
static struct world *world;
static struct topics topics;
static bool model[CONNS][NAMES];

/* xorshift64: the same numbers in every run. */
static uint64_t random_state;
static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

static void open_conn(uint32_t fd)
{
    conn_claim(world->table, fd, OWNER, 1);
    world->table[fd].user_len = 1;
    conn_set_state(&world->table[fd], CONN_OPEN);
}

static int begin(void **state)
{
    (void)state;
    world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (world == MAP_FAILED)
        return -1;
    /* Nothing may rely on the entries above `buckets`. */
    memset(world->heads, 0xee, sizeof(world->heads));
    topics = (struct topics){&world->control, world->heads, world->topic, world->member,
                             world->table,    CAPACITY,     CONNS,        0x9e3779b97f4a7c15};
    random_state = 88172645463325252u;
    memset(model, 0, sizeof(model));
    for (uint32_t fd = 1; fd < CONNS; fd++)
        open_conn(fd);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return munmap(world, sizeof(*world));
}

static size_t name_of(char out[16], uint32_t number)
{
    return (size_t)snprintf(out, 16, "room:%u", number);
}

static uint32_t find(uint32_t number)
{
    char name[16];
    return topics_find(&topics, name, name_of(name, number));
}

static uint32_t add(uint32_t number)
{
    char name[16];
    return topics_add(&topics, name, name_of(name, number), number % 4);
}

static void expect_valid(void)
{
    assert_true(topics_valid(&topics, OWNER));
}

static uint32_t join(uint32_t fd, uint32_t number)
{
    const uint32_t member = topics_join(&topics, add(number), fd);
    model[fd][number] = true;
    return member;
}

/* As in the worker, a topic without members is removed. */
static void leave(uint32_t fd, uint32_t number)
{
    const uint32_t topic = find(number);
    topics_leave(&topics, topics_membership(&topics, fd, topic));
    if (world->topic[topic].count == 0)
        topics_remove(&topics, topic);
    model[fd][number] = false;
}

/* The table agrees with the model on every connection and topic. */
static void expect_model(void)
{
    uint32_t members = 0;

    expect_valid();
    for (uint32_t number = 0; number < NAMES; number++) {
        const uint32_t topic = find(number);
        uint32_t count = 0;
        for (uint32_t fd = 1; fd < CONNS; fd++) {
            const bool is = topic != 0 && topics_membership(&topics, fd, topic) != 0;
            if (is != model[fd][number])
                fail_msg("descriptor %u in topic %u", fd, number);
            count += is;
        }
        assert_int_equal(topic != 0 ? world->topic[topic].count : 0, count);
        members += count;
    }
    assert_int_equal(world->control.members, members);
}

static void an_unused_table_is_empty(void **state)
{
    (void)state;
    expect_valid();
    assert_true(topics_intact(&topics));
    assert_int_equal(topics_find(&topics, "a", 1), 0);
    assert_int_equal(topics_membership(&topics, 1, 1), 0);
    topics_rebuild(&topics, OWNER, CONNS);
    expect_model();
}

static void a_topic_is_found_by_its_whole_name(void **state)
{
    (void)state;
    char name[TOPIC_NAME_MAX];

    memset(name, 'x', sizeof(name));
    for (size_t len = 1; len <= sizeof(name); len++) {
        const uint32_t topic = topics_add(&topics, name, len, 1);
        assert_int_equal(topics_add(&topics, name, len, 1), topic);
        assert_int_equal(topics_find(&topics, name, len), topic);
        assert_int_equal(topic_len(&world->topic[topic]), len);
        assert_int_equal(world->topic[topic].home, 1);
        assert_int_equal(world->topic[topic].state, TOPIC_IDLE);
    }
    expect_valid();
    assert_int_equal(world->control.topics, TOPIC_NAME_MAX);
    name[3] = 'y';
    assert_int_equal(topics_find(&topics, name, 8), 0);
}

static void memberships_stay_in_order(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < 20; number++)
        join(7, number);
    leave(7, 0);
    leave(7, 9);
    join(7, 9);
    leave(7, 19);
    uint32_t at = world->table[7].topics, last = 0;
    for (uint32_t number = 1; number < 19; number++) {
        if (number == 9)
            continue;
        assert_int_equal(topic_of(&world->member[at]), find(number));
        last = at = world->member[at].of_conn;
    }
    assert_int_equal(topic_of(&world->member[last]), find(9));
    assert_int_equal(world->member[last].of_conn, 0);
    expect_model();
}

static void who_waits_is_counted(void **state)
{
    (void)state;
    const uint32_t a = join(1, 5), b = join(2, 5);
    const struct topic *topic = &world->topic[find(5)];

    topics_request(&topics, a, 1);
    topics_request(&topics, b, 2);
    topics_request(&topics, b, 3);
    assert_int_equal(topic->waiting, 2);
    expect_valid();
    topics_request(&topics, a, 0);
    assert_int_equal(topic->waiting, 1);
    leave(2, 5);
    assert_int_equal(topic->waiting, 0);
    expect_model();
}

/* As many topics, and then as many memberships, as there are records. */
static void a_full_table_says_so_and_goes_on(void **state)
{
    (void)state;
    uint32_t topic = 0;

    for (uint32_t number = 1; number < CAPACITY; number++)
        assert_int_not_equal(add(number), 0);
    assert_int_equal(add(CAPACITY), 0);
    expect_valid();
    for (uint32_t number = 1; number < CAPACITY; number++) {
        topic = find(number);
        assert_int_not_equal(topics_join(&topics, topic, 1 + number % (CONNS - 1)), 0);
    }
    assert_int_equal(topics_join(&topics, topic, 1 + CAPACITY % (CONNS - 1)), 0);
    expect_valid();
    topics_leave(&topics, world->topic[topic].first);
    assert_int_not_equal(topics_join(&topics, topic, 5), 0);
    expect_valid();
}

static void released_records_are_used_again(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 1000; round++) {
        join(1 + round % 200, round % NAMES);
        leave(1 + round % 200, round % NAMES);
    }
    assert_int_equal(world->control.topic_end, 2);
    assert_int_equal(world->control.member_end, 2);
    expect_model();
}

static void step(uint32_t conns)
{
    const uint32_t fd = 1 + draw(conns), number = draw(2) == 0 ? draw(NAMES) : draw(3);
    if (model[fd][number])
        leave(fd, number);
    else
        join(fd, number);
    if (model[fd][number] && draw(2) == 0)
        topics_request(&topics, topics_membership(&topics, fd, find(number)), draw(3));
}

static void it_agrees_with_the_model(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        step(100);
        if (i % 97 == 0)
            expect_valid();
        if (i % 997 == 0)
            expect_model();
    }
    expect_model();
}

static void it_agrees_when_every_hash_is_the_same(void **state)
{
    (void)state;
    topics.seed = 0;
    for (uint32_t i = 0; i < 5000; i++)
        step(20);
    expect_model();
}

/* With any contents of the chains. */
static void a_rebuild_needs_only_the_records(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3000; i++)
        step(100);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < CAPACITY; i++) {
            world->heads[i] = draw(CAPACITY);
            world->topic[i].next = draw(CAPACITY);
            world->topic[i].first = draw(CAPACITY);
            world->topic[i].count = draw(CAPACITY);
            world->topic[i].waiting = draw(CAPACITY);
            world->member[i].next = draw(CAPACITY);
            world->member[i].prev = draw(CAPACITY);
            world->member[i].of_conn = draw(CAPACITY);
        }
        for (uint32_t fd = 1; fd < CONNS; fd++)
            world->table[fd].topics = draw(CAPACITY);
        world->control.topic_free = draw(CAPACITY);
        world->control.member_free = draw(CAPACITY);
        atomic_store(&world->control.changes, draw(UINT32_MAX));
        topics_rebuild(&topics, OWNER, CONNS);
        expect_model();
    }
}

/* Another connection gets the number of one that has ended, with memberships left over: no worker
 * does that, but damage may. */
static void succeed_with_members(uint32_t fd)
{
    const uint64_t word = conn_word(&world->table[fd]);
    conn_publish(&world->table[fd], word_make(word_generation(word) + 1, 0, CONN_FREE, 0));
    open_conn(fd);
}

static void a_member_is_a_connection_and_not_a_number(void **state)
{
    (void)state;
    const uint32_t first = join(1, 1), second = join(2, 1), third = join(3, 1), fourth = join(4, 1);

    assert_ptr_equal(topics_conn(&topics, first, OWNER), &world->table[1]);
    assert_null(topics_conn(&topics, first, OTHER));
    succeed_with_members(2);
    assert_null(topics_conn(&topics, second, OWNER));
    conn_publish(&world->table[3], word_make(0, OTHER, CONN_OPEN, 0));
    assert_null(topics_conn(&topics, third, OWNER));
    assert_false(topics_valid(&topics, OWNER));
    topics_rebuild(&topics, OWNER, CONNS);
    assert_true(topics_valid(&topics, OWNER));
    conn_set_state(&world->table[4], CONN_CLOSING);
    assert_ptr_equal(topics_conn(&topics, fourth, OWNER), &world->table[4]);
    assert_false(topics_valid(&topics, OWNER)); /* it has left its topics before it sleeps */
}

static void a_rebuild_drops_who_is_gone(void **state)
{
    (void)state;
    for (uint32_t fd = 1; fd <= 6; fd++)
        join(fd, 1);
    join(2, 2);
    conn_set_state(&world->table[1], CONN_CLOSING);
    succeed_with_members(2);
    conn_publish(&world->table[3], word_make(0, OTHER, CONN_OPEN, 0));
    conn_publish(&world->table[4], word_make(0, OWNER, CONN_SUBSCRIBING, 0));
    topics_rebuild(&topics, OWNER, CONNS);
    model[1][1] = model[2][1] = model[2][2] = model[3][1] = false;
    world->table[3].topics = 0; /* not ours to change or to read */
    expect_model();
    assert_int_equal(world->topic[find(1)].count, 3);
    assert_int_equal(world->topic[find(2)].count, 0);
}

static void a_table_found_odd_is_recognised(void **state)
{
    (void)state;
    join(1, 1);
    atomic_fetch_add(&world->control.changes, 1);
    assert_false(topics_intact(&topics));
    assert_false(topics_valid(&topics, OWNER));
    topics_rebuild(&topics, OWNER, CONNS);
    assert_true(topics_intact(&topics));
    expect_model();
}

/* An interrupted change could leave each of these states if it were not recorded. */
static void broken_chains_are_not_valid(void **state)
{
    (void)state;
    for (uint32_t fd = 1; fd <= 50; fd++)
        join(fd, fd % 3);
    join(51, 4);
    leave(51, 4);
    join(50, 1);
    expect_model();
    const struct world good = *world;
    const uint32_t topic = find(1), member = world->topic[topic].first;
#define EXPECT_BROKEN(statement)                    \
    do {                                            \
        statement;                                  \
        assert_false(topics_valid(&topics, OWNER)); \
        *world = good;                              \
        expect_valid();                             \
    } while (0)
    EXPECT_BROKEN(world->control.topics++);
    EXPECT_BROKEN(world->control.members--);
    EXPECT_BROKEN(world->control.buckets = 3);
    EXPECT_BROKEN(world->control.buckets = CAPACITY + 1);
    EXPECT_BROKEN(world->control.topic_free = 0);
    EXPECT_BROKEN(world->control.member_end++);
    EXPECT_BROKEN(world->control.topic_free = topic);
    EXPECT_BROKEN(world->topic[topic].count++);
    EXPECT_BROKEN(world->topic[topic].waiting++);
    EXPECT_BROKEN(world->topic[topic].first = 0);
    EXPECT_BROKEN(world->topic[topic].name[0] = 'q');
    EXPECT_BROKEN(world->topic[topic].hash++);
    EXPECT_BROKEN(world->topic[topic].state = 7);
    EXPECT_BROKEN(atomic_store(&world->topic[topic].len, 0));
    EXPECT_BROKEN(world->member[member].next = member);
    EXPECT_BROKEN(world->member[member].prev = 9);
    EXPECT_BROKEN(world->member[member].fd = CONNS);
    EXPECT_BROKEN(world->member[member].generation++);
    EXPECT_BROKEN(world->member[member].request = 1);
    EXPECT_BROKEN(atomic_store(&world->member[member].topic, 0));
    EXPECT_BROKEN(world->table[50].topics = 0);
#undef EXPECT_BROKEN
}

/* Uses the table like the worker, at full speed, until it is killed. */
static void churn(uint64_t seed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_state = seed;
    for (;;) {
        const uint32_t fd = 1 + draw(CONNS - 1), topic = add(draw(NAMES));
        const uint32_t member = topics_membership(&topics, fd, topic);
        if (member == 0)
            topics_request(&topics, topics_join(&topics, topic, fd), 1 + draw(9));
        else
            topics_leave(&topics, member);
        if (world->topic[topic].count == 0)
            topics_remove(&topics, topic);
        atomic_fetch_add_explicit(&world->steps, 1, memory_order_relaxed);
    }
}

static void kill_at_random(uint64_t seed)
{
    const uint64_t steps = atomic_load(&world->steps);
    const pid_t child = fork();
    int status;

    assert_int_not_equal(child, -1);
    if (child == 0)
        churn(seed); /* and never returns */
    while (atomic_load(&world->steps) == steps)
        sched_yield();
    nanosleep(&(struct timespec){.tv_nsec = draw(1000000)}, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_killed_worker_leaves_an_intact_table_or_says_so(void **state)
{
    (void)state;
    uint32_t intact = 0;

    for (uint32_t round = 0; round < 200; round++) {
        kill_at_random(1 + draw(UINT32_MAX - 1));
        if (topics_intact(&topics))
            intact++;
        else
            topics_rebuild(&topics, OWNER, CONNS);
        if (!topics_valid(&topics, OWNER))
            fail_msg("round %u: not valid", round);
    }
    /* Both kinds of death must have occurred. */
    assert_in_range(intact, 1, 199);
    assert_true(world->control.topic_end <= NAMES + 1);
    assert_true(world->control.member_end <= NAMES * CONNS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unused_table_is_empty, begin, end),
        cmocka_unit_test_setup_teardown(a_topic_is_found_by_its_whole_name, begin, end),
        cmocka_unit_test_setup_teardown(memberships_stay_in_order, begin, end),
        cmocka_unit_test_setup_teardown(who_waits_is_counted, begin, end),
        cmocka_unit_test_setup_teardown(a_full_table_says_so_and_goes_on, begin, end),
        cmocka_unit_test_setup_teardown(released_records_are_used_again, begin, end),
        cmocka_unit_test_setup_teardown(it_agrees_with_the_model, begin, end),
        cmocka_unit_test_setup_teardown(it_agrees_when_every_hash_is_the_same, begin, end),
        cmocka_unit_test_setup_teardown(a_rebuild_needs_only_the_records, begin, end),
        cmocka_unit_test_setup_teardown(a_member_is_a_connection_and_not_a_number, begin, end),
        cmocka_unit_test_setup_teardown(a_rebuild_drops_who_is_gone, begin, end),
        cmocka_unit_test_setup_teardown(a_table_found_odd_is_recognised, begin, end),
        cmocka_unit_test_setup_teardown(broken_chains_are_not_valid, begin, end),
        cmocka_unit_test_setup_teardown(a_killed_worker_leaves_an_intact_table_or_says_so, begin,
                                        end),
    };
    return cmocka_run_group_tests_name("topics", tests, NULL, NULL);
}
