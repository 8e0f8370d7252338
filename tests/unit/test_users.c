/*
 * The user index: against a model, over growth, with every name in one bucket, and after SIGKILL
 * at random moments. The model is the records themselves, searched from end to end.
 */
#include "shm/users.h"

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

enum { CAPACITY = 4096, OWNER = 3, OTHER = 2, WORKERS = 4 };

/* Shared, so that a child that is killed leaves it as it was. */
struct world {
    struct users_control control;
    uint32_t heads[CAPACITY];
    uint32_t siblings[CAPACITY];
    struct conn table[CAPACITY];
    _Atomic uint64_t steps; /* of the child that is to be killed */
};
static struct world *world;
static struct users users;

/* xorshift64: the same numbers in every run. */
static uint64_t random_state;
static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

static int begin(void **state)
{
    (void)state;
    world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    /* Nothing may rely on the entries above `buckets`. */
    memset(world->heads, 0xee, sizeof(world->heads));
    memset(world->siblings, 0xee, sizeof(world->siblings));
    users = (struct users){&world->control, world->heads, world->siblings,
                           world->table,    CAPACITY,     0x9e3779b97f4a7c15};
    random_state = 88172645463325252u;
    return world == MAP_FAILED ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    return munmap(world, sizeof(*world));
}

static size_t user_name(char out[16], uint32_t number)
{
    return (size_t)snprintf(out, 16, "u%u", number);
}

/* Puts a record into its state before users_add. */
static void set_up(uint32_t fd, uint32_t number)
{
    struct conn *const conn = &users.table[fd];
    char name[16];

    conn_claim(users.table, fd, OWNER, 1);
    conn->user_len = (uint8_t)user_name(name, number);
    memcpy(conn->user, name, conn->user_len);
    conn->hash = users_hash(users.seed, conn->user, conn->user_len);
    conn_set_state(conn, CONN_OPEN);
}

static void open_conn(uint32_t fd, uint32_t number)
{
    set_up(fd, number);
    users_add(&users, fd);
}

static void close_conn(uint32_t fd)
{
    users_remove(&users, fd);
    conn_set_state(&users.table[fd], CONN_CLOSING);
    conn_release(&users.table[fd]);
}

static bool is_open(uint32_t fd)
{
    return word_state(conn_word(&users.table[fd])) == CONN_OPEN;
}

static bool has_name(const struct conn *conn, const char *name, size_t len)
{
    return conn->user_len == len && memcmp(conn->user, name, len) == 0;
}

/* The index finds exactly the connections of this user, each once. */
static void expect_exact(uint32_t number)
{
    static bool found[CAPACITY];
    char name[16];
    const size_t len = user_name(name, number);

    memset(found, 0, sizeof(found));
    for (uint32_t fd = users_first(&users, name, len); fd != 0; fd = users_next(&users, fd)) {
        assert_in_range(fd, 1, CAPACITY - 1);
        assert_false(found[fd]);
        found[fd] = true;
    }
    for (uint32_t fd = 1; fd < CAPACITY; fd++) {
        if (found[fd] != (is_open(fd) && has_name(&users.table[fd], name, len)))
            fail_msg("descriptor %u of user %u", fd, number);
    }
}

static uint32_t count_open(void)
{
    uint32_t count = 0;

    for (uint32_t fd = 1; fd < CAPACITY; fd++)
        count += is_open(fd);
    return count;
}

static void expect_all(uint32_t numbers)
{
    assert_true(users_valid(&users, OWNER));
    assert_int_equal(users.control->count, count_open());
    for (uint32_t i = 0; i < numbers; i++)
        expect_exact(i);
}

static void an_unused_index_is_empty(void **state)
{
    (void)state;
    assert_true(users_valid(&users, OWNER));
    assert_true(users_intact(&users));
    assert_int_equal(users_first(&users, "u1", 2), 0);
}

static void one_user_with_many_devices(void **state)
{
    (void)state;
    for (uint32_t fd = 1; fd <= 100; fd++) {
        open_conn(fd, fd % 2);
        assert_true(conn_has(&users.table[fd], CONN_INDEXED));
        assert_true(users_valid(&users, OWNER));
    }
    expect_all(3);
    for (uint32_t fd = 100; fd > 0; fd -= 2) {
        users_remove(&users, fd);
        assert_false(conn_has(&users.table[fd], CONN_INDEXED));
        close_conn(fd);
        assert_true(users_valid(&users, OWNER));
    }
    assert_int_equal(users_first(&users, "u0", 2), 0);
    expect_all(3);
}

static void a_member_may_go_once_its_next_is_known(void **state)
{
    (void)state;
    uint32_t seen = 0;

    for (uint32_t fd = 1; fd <= 40; fd++)
        open_conn(fd, fd % 2);
    for (uint32_t fd = users_first(&users, "u1", 2), next; fd != 0; fd = next, seen++) {
        next = users_next(&users, fd);
        close_conn(fd);
    }
    assert_int_equal(seen, 20);
    expect_all(2);
}

static void only_devices_of_one_user_touch_the_siblings(void **state)
{
    (void)state;
    for (uint32_t fd = 1; fd <= 100; fd++)
        open_conn(fd, fd);
    for (uint32_t fd = 1; fd <= 100; fd++)
        assert_true(users_leads(&users, fd) && users_alone(&users, fd));
    open_conn(101, 7);
    assert_true(users_leads(&users, 101) && !users_alone(&users, 101));
    assert_false(users_leads(&users, 7) || users_alone(&users, 7));
    close_conn(101);
    assert_true(users_leads(&users, 7) && users_alone(&users, 7));
    for (uint32_t fd = 1; fd <= 100; fd++)
        close_conn(fd);
    for (uint32_t fd = 0; fd < CAPACITY; fd++)
        assert_int_equal(users.siblings[fd],
                         fd == 7 || fd == 101 ? users.siblings[fd] : 0xeeeeeeee);
}

static void the_newest_device_comes_first(void **state)
{
    (void)state;
    for (uint32_t fd = 1; fd <= 100; fd++)
        open_conn(fd, fd % 3);
    close_conn(100);
    close_conn(51 + 1);
    uint32_t before = 100, seen = 0;
    for (uint32_t fd = users_first(&users, "u1", 2); fd != 0; fd = users_next(&users, fd), seen++) {
        assert_true(fd < before);
        before = fd;
    }
    assert_int_equal(seen, 32);
}

/* In any order of ends: a walk from the newest to each would take 5,000,000,000 steps.
 */
static void ending_100000_devices_of_one_user_is_linear(void **state)
{
    (void)state;
    enum { MANY = 100001 };
    struct users_control control = {0};
    struct users many = {.control = &control,
                         .heads = calloc(MANY, sizeof(uint32_t)),
                         .siblings = calloc(MANY, sizeof(uint32_t)),
                         .table = aligned_alloc(64, MANY * sizeof(struct conn)),
                         .capacity = MANY,
                         .seed = users.seed};
    const struct users saved = users;
    const clock_t begin_at = clock();

    memset(many.table, 0, MANY * sizeof(struct conn));
    users = many;
    for (uint32_t fd = 1; fd < MANY; fd++)
        open_conn(fd, 1);
    for (uint32_t fd = 1; fd < MANY / 2; fd++)
        close_conn(fd);
    assert_true(users_valid(&users, OWNER));
    for (uint32_t fd = MANY - 1; fd >= MANY / 2; fd--)
        close_conn(fd);
    assert_true(users_valid(&users, OWNER));
    assert_int_equal(control.count, 0);
    assert_true((double)(clock() - begin_at) / CLOCKS_PER_SEC < 5);
    users = saved;
    free(many.heads);
    free(many.siblings);
    free(many.table);
}

static void removing_what_is_not_in_changes_nothing(void **state)
{
    (void)state;
    open_conn(5, 1);
    set_up(6, 1);
    users_remove(&users, 6);
    assert_int_equal(users.control->count, 1);
    assert_true(users_valid(&users, OWNER));
    users_remove(&users, 5);
    users_remove(&users, 5);
    assert_int_equal(users.control->count, 0);
    assert_true(users_valid(&users, OWNER));
}

/* One bucket more for each connection above the first 16, as long as there is room. */
static void the_array_grows_by_one_and_not_beyond(void **state)
{
    (void)state;
    enum { SMALL = 100 };

    users.capacity = SMALL;
    for (uint32_t fd = 1; fd < SMALL; fd++) {
        open_conn(fd, fd);
        assert_int_equal(users.control->buckets, fd < USERS_BUCKETS_MIN ? USERS_BUCKETS_MIN : fd);
        assert_int_equal(world->heads[users.control->buckets], 0xeeeeeeee);
        assert_true(users_valid(&users, OWNER));
    }
    expect_all(SMALL);
    for (uint32_t fd = 1; fd < SMALL; fd++)
        close_conn(fd);
    assert_int_equal(users.control->buckets, SMALL - 1);
    assert_true(users_valid(&users, OWNER));
}

static void a_full_array_stops_growing(void **state)
{
    (void)state;
    users.capacity = USERS_BUCKETS_MIN;
    for (uint32_t fd = 1; fd < USERS_BUCKETS_MIN; fd++)
        open_conn(fd, fd % 5);
    users.control->count = USERS_BUCKETS_MIN + 1; /* pretends an impossibly full table */
    users_remove(&users, 1);
    users_add(&users, 1);
    users.control->count = USERS_BUCKETS_MIN - 1;
    assert_int_equal(users.control->buckets, USERS_BUCKETS_MIN);
    assert_int_equal(world->heads[USERS_BUCKETS_MIN], 0xeeeeeeee);
    expect_all(5);
}

/* 100,000 steps; users with one device and with many; the count goes up and down in waves. */
static void run_model(uint32_t steps, uint32_t numbers, uint32_t conns)
{
    for (uint32_t step = 0; step < steps; step++) {
        const uint32_t fd = 1 + draw(conns);
        const bool rising = step / (steps / 10) % 2 == 0;
        if (!is_open(fd) && (rising || draw(4) == 0))
            open_conn(fd, draw(2) == 0 ? draw(numbers) : draw(1 + numbers / 16));
        else if (is_open(fd) && (!rising || draw(4) == 0))
            close_conn(fd);
        if (step % 97 == 0 && !users_valid(&users, OWNER))
            fail_msg("not valid after step %u", step);
        if (step % 97 == 0)
            expect_exact(draw(numbers));
    }
    expect_all(numbers);
}

static void it_agrees_with_the_model(void **state)
{
    (void)state;
    run_model(100000, 1500, CAPACITY - 1);
    assert_true(users.control->buckets > 1000);
}

/* With a seed of 0 both secrets of the hash are 0, and all names of up to 8 bytes hash to 0. */
static void it_agrees_when_every_hash_is_the_same(void **state)
{
    (void)state;
    users.seed = 0;
    assert_int_equal(users_hash(0, "u1", 2), users_hash(0, "u2", 2));
    run_model(100000, 100, 300);
}

static void a_rebuild_gives_the_same_sets(void **state)
{
    (void)state;
    run_model(20000, 500, CAPACITY - 1);
    for (uint32_t round = 0; round < 20; round++) {
        /* With any contents of the index. */
        for (uint32_t i = 0; i < CAPACITY; i++) {
            world->heads[i] = draw(2) == 0 ? UINT32_MAX : draw(CAPACITY);
            users.table[i].next = draw(UINT32_MAX);
            users.siblings[i] = draw(UINT32_MAX);
        }
        users.control->count = draw(CAPACITY);
        users.control->buckets = draw(3) == 0 ? 0 : draw(UINT32_MAX);
        atomic_store(&users.control->changes, draw(UINT32_MAX));
        users_rebuild(&users, OWNER, CAPACITY);
        assert_true(users_intact(&users));
        expect_all(500);
    }
}

static void put(uint32_t fd, uint32_t owner, enum conn_state conn_state, uint32_t flags)
{
    set_up(fd, 1);
    atomic_store(&users.table[fd].word, word_make(0, owner, conn_state, flags));
}

static void a_rebuild_takes_what_belongs_in(void **state)
{
    (void)state;
    put(1, OWNER, CONN_SUBSCRIBING, 0);
    put(2, OWNER, CONN_OPEN, CONN_INDEXED);
    put(3, OWNER, CONN_OPEN, CONN_ECHO);
    users.table[3].user_len = 0;
    put(4, OWNER, CONN_MOVING, CONN_INDEXED);
    put(5, OWNER, CONN_CLOSING, CONN_INDEXED);
    put(6, OTHER, CONN_OPEN, CONN_INDEXED);
    put(7, OWNER, CONN_HANDSHAKE, 0);
    conn_claim(users.table, 8, OWNER, 1);
    conn_release(&users.table[8]);
    put(9, OWNER, CONN_OPEN, 0); /* not below `high` */
    put(10, OWNER, CONN_CLOSING, 0);

    users_rebuild(&users, OWNER, 9);
    assert_true(users_valid(&users, OWNER));
    assert_int_equal(users.control->count, 3);
    for (uint32_t fd = 1; fd <= 9; fd++) {
        const bool in = fd == 1 || fd == 2 || fd == 5 || fd == 6; /* 6 is another owner's */
        assert_int_equal(conn_has(&users.table[fd], CONN_INDEXED), in);
    }
    uint32_t sum = 0;
    for (uint32_t fd = users_first(&users, "u1", 2); fd != 0; fd = users_next(&users, fd))
        sum += fd;
    assert_int_equal(sum, 1 + 2 + 5);
    users_rebuild(&users, OWNER, UINT32_MAX);
    assert_int_equal(users.control->count, 4);
    assert_false(conn_has(&users.table[10], CONN_INDEXED));
    assert_true(users_valid(&users, OWNER));
    users_rebuild(&users, OTHER, CAPACITY);
    assert_int_equal(users.control->count, 1);
    assert_true(users_valid(&users, OTHER));
}

static void an_index_found_odd_is_recognised(void **state)
{
    (void)state;
    open_conn(1, 1);
    assert_true(users_intact(&users));
    atomic_fetch_add(&users.control->changes, 1);
    assert_false(users_intact(&users));
    assert_false(users_valid(&users, OWNER));
    users_rebuild(&users, OWNER, CAPACITY);
    assert_true(users_intact(&users));
    expect_all(2);
}

/* An interrupted change could leave each of these states if it were not recorded. */
static void broken_chains_are_not_valid(void **state)
{
    (void)state;
    for (uint32_t fd = 1; fd <= 50; fd++)
        open_conn(fd, 7); /* one chain */
    assert_true(users_valid(&users, OWNER));
    const struct world good = *world;
#define EXPECT_BROKEN(statement)                  \
    do {                                          \
        statement;                                \
        assert_false(users_valid(&users, OWNER)); \
        *world = good;                            \
        assert_true(users_valid(&users, OWNER));  \
    } while (0)
    EXPECT_BROKEN(users.control->count++);
    EXPECT_BROKEN(users.control->count--);
    EXPECT_BROKEN(users.control->buckets = 0);
    EXPECT_BROKEN(users.control->buckets = USERS_BUCKETS_MIN);
    EXPECT_BROKEN(users.control->buckets = CAPACITY + 1);
    EXPECT_BROKEN(users.table[25].next = 0);
    EXPECT_BROKEN(users.table[25].next = 40);
    EXPECT_BROKEN(users.table[1].next = 50);
    EXPECT_BROKEN(users.table[1].next = CAPACITY);
    EXPECT_BROKEN(users.table[50].next = 0);
    EXPECT_BROKEN(users.table[50].next |= USERS_FOLLOWS);
    EXPECT_BROKEN(users.table[25].next |= USERS_LEADS);
    EXPECT_BROKEN(users.table[25].next &= USERS_FD);
    EXPECT_BROKEN(users.siblings[50] = 48);
    EXPECT_BROKEN(users.siblings[50] = 0);
    EXPECT_BROKEN(users.siblings[25] = 24);
    EXPECT_BROKEN(users.siblings[25] = 27);
    EXPECT_BROKEN(users.table[25].hash ^= 1);
    EXPECT_BROKEN(users.table[25].user[1] = '8');
    EXPECT_BROKEN(users.table[25].user_len = 0);
    EXPECT_BROKEN(conn_clear(&users.table[25], CONN_INDEXED));
    EXPECT_BROKEN(conn_publish(&users.table[25], word_make(0, OTHER, CONN_OPEN, CONN_INDEXED)));
    EXPECT_BROKEN(conn_publish(&users.table[25], word_make(1, OWNER, CONN_FREE, CONN_INDEXED)));
#undef EXPECT_BROKEN
    assert_false(users_valid(&users, OTHER));
}

static void hashes_depend_on_all_they_are_given(void **state)
{
    (void)state;
    char name[USER_MAX + 1] = {0};

    for (size_t len = 0; len <= USER_MAX; len++) {
        const uint32_t hash = users_hash(users.seed, name, len);
        assert_int_equal(users_hash(users.seed, name, len), hash);
        assert_int_not_equal(users_hash(users.seed ^ 1, name, len), hash);
        assert_int_not_equal(users_hash(users.seed, name, len + 1), hash); /* one more NUL */
        for (size_t bit = 0; bit < 8 * len; bit++) {
            name[bit / 8] = (char)(name[bit / 8] ^ 1 << bit % 8);
            assert_int_not_equal(users_hash(users.seed, name, len), hash);
            name[bit / 8] = (char)(name[bit / 8] ^ 1 << bit % 8);
        }
    }
}

/* The bytes behind a name are not read: the address sanitizer would report it. */
static void hashes_read_no_further_than_the_name(void **state)
{
    (void)state;
    for (size_t len = 1; len <= USER_MAX; len++) {
        char *const name = malloc(len);
        memset(name, 'a', len);
        users_hash(users.seed, name, len);
        free(name);
    }
}

/* The worst of 1,024 buckets when 16 names on average fall into each: for a good hash below 45. */
static uint32_t fullest_bucket(uint64_t seed, const char *format)
{
    uint32_t level[1024] = {0}, worst = 0;

    for (uint32_t i = 0; i < 16 * 1024; i++) {
        char name[USER_MAX + 1];
        const int len = snprintf(name, sizeof(name), format, i);
        const uint32_t bucket = users_hash(seed, name, (size_t)len) % 1024;
        level[bucket]++;
        if (level[bucket] > worst)
            worst = level[bucket];
    }
    return worst;
}

static void hashes_spread_names_that_are_alike(void **state)
{
    (void)state;
    static const char *const formats[] = {"%u", "user-%08x", "%u@example.com", "%024u",
                                          "org/00000000000000000000000000000000/%05u/device"};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        for (unsigned shift = 0; shift < 64; shift += 7)
            assert_in_range(fullest_bucket(UINT64_C(1) << shift, formats[i]), 17, 45);
    }
}

/* Uses a record like the worker, at full speed, until it is killed. */
static void churn(uint64_t seed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_state = seed;
    for (;;) {
        const uint32_t fd = 1 + draw(600);
        if (is_open(fd))
            close_conn(fd);
        else
            open_conn(fd, draw(200));
        atomic_fetch_add_explicit(&world->steps, 1, memory_order_relaxed);
    }
}

static void kill_at_random(void (*run)(uint64_t), uint64_t seed)
{
    const uint64_t steps = atomic_load(&world->steps);
    const pid_t child = fork();
    int status;

    assert_int_not_equal(child, -1);
    if (child == 0)
        run(seed); /* and never returns */
    while (atomic_load(&world->steps) == steps)
        sched_yield();
    nanosleep(&(struct timespec){.tv_nsec = draw(1000000)}, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Like a successor, handles the records that the dead one was about to add, or had removed and not
 * yet released. */
static void finish_steps(void)
{
    for (uint32_t fd = 1; fd < CAPACITY; fd++) {
        struct conn *const conn = &users.table[fd];
        assert_true(conn_valid(conn, WORKERS));
        const enum conn_state left_in = word_state(conn_word(conn));
        if (left_in == CONN_HANDSHAKE || left_in == CONN_CLOSING)
            conn_release(conn);
        else if (is_open(fd) && !conn_has(conn, CONN_INDEXED))
            users_add(&users, fd);
    }
}

static void a_killed_worker_leaves_an_intact_index_or_says_so(void **state)
{
    (void)state;
    uint32_t intact = 0;

    for (uint32_t round = 0; round < 200; round++) {
        kill_at_random(churn, 1 + draw(UINT32_MAX - 1));
        if (users_intact(&users))
            intact++;
        else
            users_rebuild(&users, OWNER, CAPACITY);
        if (!users_valid(&users, OWNER))
            fail_msg("round %u: not valid", round);
        finish_steps();
        expect_all(round % 20 == 0 ? 200 : 3);
    }
    /* Both kinds of death must have occurred. */
    assert_in_range(intact, 1, 199);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unused_index_is_empty, begin, end),
        cmocka_unit_test_setup_teardown(one_user_with_many_devices, begin, end),
        cmocka_unit_test_setup_teardown(a_member_may_go_once_its_next_is_known, begin, end),
        cmocka_unit_test_setup_teardown(only_devices_of_one_user_touch_the_siblings, begin, end),
        cmocka_unit_test_setup_teardown(the_newest_device_comes_first, begin, end),
        cmocka_unit_test_setup_teardown(ending_100000_devices_of_one_user_is_linear, begin, end),
        cmocka_unit_test_setup_teardown(removing_what_is_not_in_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(the_array_grows_by_one_and_not_beyond, begin, end),
        cmocka_unit_test_setup_teardown(a_full_array_stops_growing, begin, end),
        cmocka_unit_test_setup_teardown(it_agrees_with_the_model, begin, end),
        cmocka_unit_test_setup_teardown(it_agrees_when_every_hash_is_the_same, begin, end),
        cmocka_unit_test_setup_teardown(a_rebuild_gives_the_same_sets, begin, end),
        cmocka_unit_test_setup_teardown(a_rebuild_takes_what_belongs_in, begin, end),
        cmocka_unit_test_setup_teardown(an_index_found_odd_is_recognised, begin, end),
        cmocka_unit_test_setup_teardown(broken_chains_are_not_valid, begin, end),
        cmocka_unit_test_setup_teardown(hashes_depend_on_all_they_are_given, begin, end),
        cmocka_unit_test_setup_teardown(hashes_read_no_further_than_the_name, begin, end),
        cmocka_unit_test_setup_teardown(hashes_spread_names_that_are_alike, begin, end),
        cmocka_unit_test_setup_teardown(a_killed_worker_leaves_an_intact_index_or_says_so, begin,
                                        end),
    };
    return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
