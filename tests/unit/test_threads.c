/*
 * Workers as threads: rings, the connection table, indexes, counts and statistics, used by several
 * at once as by the server's processes. `make tsan` runs it under ThreadSanitizer, which finds each
 * access that is not ordered by acquire and release; the test itself checks that no data is torn or
 * lost.
 *
 * Only the code under test may synchronize: so no thread sleeps here (poll(2) and eventfd(2)
 * synchronize), and descriptors are passed on by relaxed stores.
 *
 * ThreadSanitizer identifies memory by its virtual address. A ring's bytes have two, one in each
 * half of the mirror, and it would miss a write by one and a read by the other. So the entries here
 * have one size that divides the ring's: none crosses its end, and each byte is only ever used by
 * its first address. Entries that do cross are in test_ring_race.c.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/addresses.h"
#include "shm/conn.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "shm/slot.h"
#include "shm/stats.h"
#include "shm/users.h"

enum {
    WORKERS = 3,
    CAPACITY = 64,
    FDS = 6,              /* descriptors that go round: few, so that each is soon used again */
    LIVES = 20000,        /* connections of each worker */
    RING_ENTRIES = 200000 /* of the ring alone */
};

static struct segment segment;
static uint8_t *bytes[WORKERS][WORKERS]; /* of the ring from one to another: one address for both */

static int begin(void **state)
{
    (void)state;
    const uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
    const struct segment_shape shape = {WORKERS, CAPACITY, 64, page, page, page};
    if (segment_create(&segment, &shape, "node") == -1)
        return -1;
    for (uint32_t from = 0; from < WORKERS; from++) {
        for (uint32_t to = 0; to < WORKERS; to++) {
            bytes[from][to] =
                segment_mirror(&segment, segment_ring_offset(&segment, from, to), page);
            if (bytes[from][to] == NULL)
                return -1;
        }
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (uint32_t from = 0; from < WORKERS; from++)
        for (uint32_t to = 0; to < WORKERS; to++)
            munmap(bytes[from][to], 2 * (size_t)segment.header->shape.ring_size);
    segment_close(&segment);
    return 0;
}

static void attach(struct ring *ring, uint32_t from, uint32_t to)
{
    ring_attach(ring, segment_ring_control(&segment, from, to), bytes[from][to],
                segment.header->shape.ring_size);
}

/* ---- A ring ---- */

/* With its header, an entry takes 64 bytes. */
struct entry {
    uint64_t number[6];
};

static void *produce(void *unused)
{
    struct ring ring;

    attach(&ring, 0, 1);
    for (uint64_t number = 1; number <= RING_ENTRIES; number++) {
        struct entry *entry;
        while ((entry = ring_reserve(&ring, 1, number, sizeof(*entry))) == NULL) {
            ring_publish(&ring);
            ring_want_room(&ring, sizeof(*entry));
            sched_yield();
            ring_end_wish(&ring);
        }
        for (size_t i = 0; i < 6; i++)
            entry->number[i] = number + i;
        if (number % 5 == 0)
            ring_publish(&ring);
    }
    ring_publish(&ring);
    return unused;
}

static bool is_whole(const struct ring_entry *entry, uint64_t number)
{
    const struct entry *const content = (const struct entry *)entry->bytes;
    bool whole = entry->origin == number && entry->size == sizeof(*content);

    for (size_t i = 0; i < 6; i++)
        whole = whole && content->number[i] == number + i;
    return whole;
}

static void entries_are_whole_when_they_are_seen(void **state)
{
    (void)state;
    struct ring ring;
    pthread_t producer;
    uint64_t number = 0;

    attach(&ring, 0, 1);
    assert_int_equal(pthread_create(&producer, NULL, produce, NULL), 0);
    while (number < RING_ENTRIES) {
        const struct ring_entry *const entry = ring_take(&ring, NULL);
        if (entry != NULL && !is_whole(entry, ++number))
            fail_msg("entry %llu is damaged", (unsigned long long)number);
        if (entry == NULL || number % 7 == 0)
            ring_commit(&ring);
        if (entry == NULL)
            sched_yield();
    }
    ring_commit(&ring);
    assert_int_equal(pthread_join(producer, NULL), 0);
    assert_true(ring_valid(&ring));
}

/* ---- Connections that change hands ---- */

/* Plays the kernel: a number taken from here belongs to the taker, without any synchronization with
 * its earlier owner. */
static _Atomic uint32_t free_fd[FDS];

static uint32_t accept_fd(uint32_t seed)
{
    for (uint32_t i = 0; i < FDS; i++) {
        const uint32_t fd =
            atomic_exchange_explicit(&free_fd[(seed + i) % FDS], 0, memory_order_relaxed);
        if (fd != 0)
            return fd;
    }
    return 0;
}

static void close_fd(uint32_t fd)
{
    for (uint32_t i = 0;; i = (i + 1) % FDS) {
        uint32_t none = 0;
        if (atomic_compare_exchange_strong_explicit(&free_fd[i], &none, fd, memory_order_relaxed,
                                                    memory_order_relaxed))
            return;
    }
}

struct worker {
    uint32_t id;
    struct ring in[WORKERS], out[WORKERS];
    struct users users;
    struct addresses addresses;
    uint32_t accepted;
    const char *error;
};

static _Atomic uint32_t ended; /* connections */

static void open_worker(struct worker *worker, uint32_t id)
{
    const uint32_t addresses = addresses_size(CAPACITY);

    *worker = (struct worker){.id = id};
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (i == id)
            continue;
        attach(&worker->in[i], i, id);
        attach(&worker->out[i], id, i);
    }
    worker->users = (struct users){.control = &segment.slot[id].users,
                                   .heads = segment.heads + (size_t)id * CAPACITY,
                                   .siblings = segment.siblings,
                                   .table = segment.conn,
                                   .capacity = CAPACITY,
                                   .seed = segment.header->hash_seed};
    worker->addresses = (struct addresses){segment.addresses + (size_t)id * addresses, addresses};
}

/* A record's contents depend on its generation, so that a piece of another one is noticed. */
static void fill_in(struct conn *conn, uint32_t generation)
{
    memset(conn->address, (int)(generation & 0xff), sizeof(conn->address));
    conn->user_len = (uint8_t)snprintf(conn->user, sizeof(conn->user), "user-%08x", generation);
    conn->hash = users_hash(segment.header->hash_seed, conn->user, conn->user_len);
}

static bool is_filled_in(const struct conn *conn, uint32_t generation)
{
    struct conn expected = {0};

    fill_in(&expected, generation);
    return conn->hash == expected.hash && conn->user_len == expected.user_len &&
           memcmp(conn->user, expected.user, expected.user_len) == 0 &&
           memcmp(conn->address, expected.address, sizeof(expected.address)) == 0;
}

static void count(const struct worker *worker, int by)
{
    _Atomic uint32_t *const connections = &segment.slot[worker->id].connections;

    atomic_store_explicit(connections,
                          atomic_load_explicit(connections, memory_order_relaxed) + (uint32_t)by,
                          memory_order_relaxed);
}

/* Accepts one if a number is free, and passes it to the next worker if its ring has room. */
static void accept_one(struct worker *worker)
{
    struct ring *const ring = &worker->out[(worker->id + 1 + worker->accepted % 2) % WORKERS];
    const uint32_t to = (worker->id + 1 + worker->accepted % 2) % WORKERS;
    const uint32_t fd = ring_fits(ring, sizeof(struct entry)) ? accept_fd(worker->accepted) : 0;

    if (fd == 0)
        return;
    const struct conn_ref ref = conn_claim(segment.conn, fd, worker->id, worker->accepted);
    struct conn *const conn = &segment.conn[fd];
    count(worker, 1);
    fill_in(conn, ref.generation);
    stats_add(&segment.stats[worker->id].accepted, 1);
    worker->accepted++;
    count(worker, -1);
    struct entry *const entry = ring_reserve(ring, 2, 0, sizeof(*entry));
    *entry = (struct entry){.number = {conn_ref_pack(ref)}};
    conn_give(conn, to);
    ring_publish(ring);
}

/* The life of a connection at home. */
static void adopt(struct worker *worker, struct conn_ref ref)
{
    struct conn *const conn = conn_deref(segment.conn, CAPACITY, ref, worker->id);

    if (conn == NULL || word_state(conn_word(conn)) != CONN_MOVING ||
        !is_filled_in(conn, ref.generation)) {
        worker->error = "what came is not what was given";
        return;
    }
    const uint64_t key = address_key(segment.header->hash_seed, conn->address);
    count(worker, 1);
    addresses_add(&worker->addresses, key);
    conn_set_state(conn, CONN_SUBSCRIBING);
    users_add(&worker->users, ref.fd);
    conn_set_state(conn, CONN_OPEN);
    conn->seen++;
    conn->mark = conn_mark(1, ref.generation);
    if (users_first(&worker->users, conn->user, conn->user_len) != ref.fd)
        worker->error = "it is not in the index";
    sched_yield(); /* others look */
    users_remove(&worker->users, ref.fd);
    addresses_remove(&worker->addresses, key);
    count(worker, -1);
    conn_set_state(conn, CONN_CLOSING);
    conn_release(conn);
    stats_add(&segment.stats[worker->id].closed_peer, 1);
    close_fd(ref.fd);
    atomic_fetch_add_explicit(&ended, 1, memory_order_relaxed);
}

static void read_ring(struct worker *worker, struct ring *ring)
{
    const struct ring_entry *entry;

    while ((entry = ring_take(ring, NULL)) != NULL)
        adopt(worker, conn_ref_unpack(((const struct entry *)entry->bytes)->number[0]));
    ring_commit(ring);
}

static void *work(void *arg)
{
    struct worker *const worker = arg;

    while (atomic_load_explicit(&ended, memory_order_relaxed) < WORKERS * LIVES && !worker->error) {
        if (worker->accepted < LIVES)
            accept_one(worker);
        for (uint32_t i = 0; i < WORKERS; i++)
            if (i != worker->id)
                read_ring(worker, &worker->in[i]);
        sched_yield();
    }
    return NULL;
}

/* Reads the state of the other workers, like the admin interface and the limits. */
static const char *look(uint64_t *accepted, uint32_t *copies)
{
    const uint32_t addresses = addresses_size(CAPACITY);
    const uint64_t before = *accepted;

    *accepted = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct addresses table = {segment.addresses + (size_t)i * addresses, addresses};
        static const uint8_t address[16] = {1};
        if (addresses_count(&table, address_key(segment.header->hash_seed, address)) > FDS)
            return "more connections of an address than there are";
        if (atomic_load_explicit(&segment.slot[i].connections, memory_order_relaxed) > FDS)
            return "a worker has more connections than there are";
    }
    for (size_t i = 0; i < stats_table_len; i++)
        if (stats_table[i].offset == offsetof(struct stats, accepted))
            *accepted = stats_sum(segment.stats, WORKERS, &stats_table[i]);
    if (*accepted < before)
        return "a counter went back";
    for (uint32_t fd = 1; fd <= FDS; fd++) {
        struct conn copy;
        if (!conn_copy(&copy, &segment.conn[fd]))
            continue;
        ++*copies;
        if (!is_filled_in(&copy, word_generation(conn_word(&copy))))
            return "a copy of a record is torn";
    }
    return NULL;
}

static void a_connection_changes_hands(void **state)
{
    (void)state;
    static struct worker worker[WORKERS];
    pthread_t thread[WORKERS];
    const char *error = NULL;
    uint64_t accepted = 0;
    uint32_t copies = 0;

    atomic_store(&ended, 0);
    for (uint32_t i = 0; i < FDS; i++)
        atomic_store(&free_fd[i], i + 1);
    for (uint32_t i = 0; i < WORKERS; i++)
        open_worker(&worker[i], i);
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
    while (error == NULL && atomic_load_explicit(&ended, memory_order_relaxed) < WORKERS * LIVES) {
        error = look(&accepted, &copies);
        for (uint32_t i = 0; i < WORKERS && error != NULL; i++)
            atomic_store(&ended, WORKERS * LIVES); /* let them end */
        sched_yield();
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (uint32_t i = 0; i < WORKERS; i++)
        error = error != NULL ? error : worker[i].error;
    if (error != NULL)
        fail_msg("%s", error);
    assert_true(copies > 0);
    for (uint32_t fd = 1; fd <= FDS; fd++)
        assert_int_equal(word_state(conn_word(&segment.conn[fd])), CONN_FREE);
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_true(users_valid(&worker[i].users, i));
        assert_true(addresses_valid(&worker[i].addresses));
        assert_int_equal(atomic_load(&segment.slot[i].connections), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_are_whole_when_they_are_seen, begin, end),
        cmocka_unit_test_setup_teardown(a_connection_changes_hands, begin, end),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
