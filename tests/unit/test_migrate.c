/*
 * A segment of layout 2 with something in every part is carried into one of this layout: whatever a
 * worker of the old version had in shared memory, one of the new finds.
 */
#include "shm/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/board.h"
#include "shm/layout2.h"
#include "shm/stats.h"
#include "shm/users.h"

enum { WORKERS = 3, CAPACITY = 1000, MEMBERSHIPS = 500 };

enum region2 {
#define REGION2_ENUM(name, count, bytes) REGION2_##name,
    REGIONS2(REGION2_ENUM)
#undef REGION2_ENUM
        REGION2_COUNT
};

static size_t page;
static int fd;
static uint8_t *base;
static size_t offset[REGION2_COUNT + 1];
static struct header2 *header;

static void *at(enum region2 region)
{
    return base + offset[region];
}

static void lay_out(const struct segment_shape *shape)
{
    const size_t bytes[REGION2_COUNT] = {
#define REGION2_BYTES(name, count, size) (size_t)(count) * (size),
        REGIONS2(REGION2_BYTES)
#undef REGION2_BYTES
    };
    for (size_t i = 0; i < REGION2_COUNT; i++)
        offset[i + 1] = offset[i] + (bytes[i] + page - 1) / page * page;
}

static int begin(void **state)
{
    (void)state;
    page = (size_t)sysconf(_SC_PAGESIZE);
    const struct segment_shape shape = {.workers = WORKERS,
                                        .capacity = CAPACITY,
                                        .memberships = MEMBERSHIPS,
                                        .ring_size = (uint32_t)(16 * page),
                                        .link_in_size = (uint32_t)(2 * page),
                                        .link_out_size = (uint32_t)(4 * page)};
    lay_out(&shape);
    fd = memfd_create("layout2", 0);
    if (fd == -1 || ftruncate(fd, (off_t)offset[REGION2_COUNT]) == -1)
        return -1;
    base = mmap(NULL, offset[REGION2_COUNT], PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    header = (void *)base;
    *header = (struct header2){.magic = SEGMENT_MAGIC,
                               .layout = 2,
                               .boot_id = 0xb007,
                               .shape = shape,
                               .own_fds = 20,
                               .size = offset[REGION2_COUNT],
                               .hash_seed = 42,
                               .started_ms = 1234567,
                               .node = "node-a",
                               .kept = "workers = 3\n"};
    return base == MAP_FAILED ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    munmap(base, offset[REGION2_COUNT]);
    close(fd); /* where the migration has not */
    return 0;
}

static struct segment migrate(void)
{
    struct segment segment;
    assert_int_equal(migrate_open(&segment, dup(fd)), 2);
    assert_true(segment_valid(&segment));
    return segment;
}

static void a_header_keeps_what_the_outside_knows(void **state)
{
    (void)state;
    struct segment segment = migrate();
    assert_int_equal(segment.header->layout, SEGMENT_LAYOUT);
    assert_int_equal(segment.header->boot_id, 0xb007);
    assert_int_equal(segment.header->hash_seed, 42);
    assert_int_equal(segment.header->started_ms, 1234567);
    assert_int_equal(segment.header->own_fds, 20);
    assert_string_equal(segment.header->node, "node-a");
    assert_string_equal(segment.header->kept, "workers = 3\n");
    assert_memory_equal(&segment.header->shape, &header->shape, sizeof(header->shape));
    segment_close(&segment);
}

/* Every byte of a region is its own, so that one that comes to lie elsewhere is found. */
static void scribble(enum region2 region)
{
    uint32_t *word = at(region);
    const size_t words = (offset[region + 1] - offset[region]) / sizeof(*word);
    for (size_t i = 0; i < words; i++)
        word[i] = (uint32_t)((size_t)region << 28 | i);
}

static void expect_region(const struct segment *segment, enum region2 region, size_t there)
{
    const size_t size = offset[region + 1] - offset[region];
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(pread(segment->fd, bytes, size, (off_t)there), size);
    assert_memory_equal(bytes, at(region), size);
    free(bytes);
}

static size_t place(const struct segment *segment, const void *pointer)
{
    return (size_t)((const uint8_t *)pointer - segment->base);
}

static void regions_come_over_byte_by_byte(void **state)
{
    (void)state;
    for (enum region2 region = REGION2_RINGS; region < REGION2_COUNT; region++)
        scribble(region);
    struct segment segment = migrate();
    expect_region(&segment, REGION2_RINGS, place(&segment, segment.ring));
    expect_region(&segment, REGION2_CONNS, place(&segment, segment.conn));
    expect_region(&segment, REGION2_HEADS, place(&segment, segment.heads));
    expect_region(&segment, REGION2_ADDRESSES, place(&segment, segment.addresses));
    expect_region(&segment, REGION2_TOPIC_HEADS, place(&segment, segment.topic_heads));
    expect_region(&segment, REGION2_TOPICS, place(&segment, segment.topic));
    expect_region(&segment, REGION2_MEMBERS, place(&segment, segment.member));
    expect_region(&segment, REGION2_RING_DATA, segment_ring_offset(&segment, 0, 0));
    expect_region(&segment, REGION2_LINK_IN, segment_link_in_offset(&segment, 0));
    expect_region(&segment, REGION2_LINK_OUT, segment_link_out_offset(&segment, 0));
    assert_true(board_valid(segment.board));
    segment_close(&segment);
}

/* The number of the field, so that no two are the same. */
static void fill_slot(struct slot2 *slot, uint32_t i)
{
    *slot = (struct slot2){.pid = 0,
                           .incarnation = 5 + i,
                           .command = SLOT_LEAVE,
                           .restarts = 7,
                           .epoll_fd = (int32_t)(8 + i),
                           .event_fd = (int32_t)(12 + i),
                           .heartbeat = 99,
                           .connections = 30,
                           .ready_users = 29,
                           .high = 900,
                           .present = 1,
                           .news = 77,
                           .node_state = NODE_READY,
                           .parcel = (int32_t)(40 + i),
                           .probed = 98,
                           .handshakes = 55,
                           .words.doing = 3};
    slot->users = (struct users_control){.changes = 10, .buckets = 512, .count = 29};
    slot->topics = (struct topics_control){.buckets = 64, .members = 3, .member_end = 4};
    slot->aux[SLOT_AUX_MAX - 1].fd = 60;
    slot->aux[SLOT_AUX_MAX - 1].inode = 61;
    slot->link = (struct link2){.state = LINK_UP,
                                .fd = (int32_t)(50 + i),
                                .in = {.start = 100, .end = 200, .base = 50},
                                .out = {.start = 300, .end = 300, .base = 250},
                                .skip_to = 1,
                                .batch_sent = 4,
                                .batch_confirmed = 3,
                                .gap_since = 2,
                                .address = 6,
                                .sent_base = 11,
                                .failed_at = 13,
                                .failures = 2 + i};
}

static void expect_slot(const struct slot *slot, uint32_t i)
{
    assert_true(slot_valid(slot, CAPACITY));
    assert_int_equal(slot->incarnation, 5 + i);
    assert_int_equal(slot->command, SLOT_LEAVE);
    assert_int_equal(slot->restarts, 7);
    assert_int_equal(slot->epoll_fd, 8 + i);
    assert_int_equal(slot->event_fd, 12 + i);
    assert_int_equal(slot->heartbeat, 99);
    assert_int_equal(slot->connections, 30);
    assert_int_equal(slot->ready_users, 29);
    assert_int_equal(slot->high, 900);
    assert_int_equal(slot->present, 1);
    assert_int_equal(slot->news, 77);
    assert_int_equal(slot->node_state, NODE_READY);
    assert_int_equal(slot->parcel, 40 + i);
    assert_int_equal(slot->probed, 98);
    assert_int_equal(slot->handshakes, 55);
    assert_int_equal(slot->users.changes, 10);
    assert_int_equal(slot->users.buckets, 512);
    assert_int_equal(slot->users.count, 29);
    assert_int_equal(slot->topics.buckets, 64);
    assert_int_equal(slot->topics.members, 3);
    assert_int_equal(slot->topics.member_end, 4);
    assert_true(slot_aux_has(slot, 60, 61));
}

static void expect_link(const struct slot_link *link, uint32_t i)
{
    assert_int_equal(link->state, LINK_UP);
    assert_int_equal(link->fd, 50 + i);
    assert_int_equal(link->in.start, 100);
    assert_int_equal(link->in.end, 200);
    assert_int_equal(link->in.base, 50);
    assert_int_equal(link->out.end, 300);
    assert_int_equal(link->skip_to, 1);
    assert_int_equal(link->batch_sent, 4);
    assert_int_equal(link->batch_confirmed, 3);
    assert_int_equal(link->gap_since, 2);
    assert_int_equal(link->address, 6);
    assert_int_equal(link->sent_base, 11);
    assert_int_equal(link->failed_at, 13);
    assert_int_equal(link->failures, 2 + i);
    assert_int_equal(link->healed, 2 + i);
    assert_int_equal(link->home_told, 2);
}

static void slots_come_over_field_by_field(void **state)
{
    (void)state;
    struct slot2 *old = at(REGION2_SLOTS);
    for (uint32_t i = 0; i < WORKERS; i++)
        fill_slot(&old[i], i);
    struct segment segment = migrate();
    for (uint32_t i = 0; i < WORKERS; i++) {
        expect_slot(&segment.slot[i], i);
        expect_link(&segment.slot[i].link, i);
        assert_int_equal(segment.slot[i].words.incarnation, 0);
        assert_int_equal(segment.slot[i].grave[0].incarnation, 0);
    }
    segment_close(&segment);
}

static void a_link_that_is_down_has_its_failure_still_to_be_told(void **state)
{
    (void)state;
    struct slot2 *old = at(REGION2_SLOTS);
    for (uint32_t i = 0; i < WORKERS; i++) {
        fill_slot(&old[i], i);
        old[i].link.state = LINK_DOWN;
        old[i].link.fd = 0;
    }
    struct segment segment = migrate();
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_not_equal(segment.slot[i].link.healed, segment.slot[i].link.failures);
        assert_int_not_equal(segment.slot[i].link.home_told, segment.slot[0].link.failures);
    }
    segment_close(&segment);
}

static void counters_go_on(void **state)
{
    (void)state;
    struct stats2 *old = at(REGION2_STATS);
    uint64_t number = 1;
#define FILL(field) old[1].field = number++;
    STATS2(FILL)
#undef FILL
    struct segment segment = migrate();
    number = 1;
#define EXPECT(field) assert_int_equal(segment.stats[1].field, number++);
    STATS2(EXPECT)
#undef EXPECT
    assert_int_equal(segment.stats[1].closed_poison, 0);
    assert_int_equal(segment.stats[0].accepted, 0);
    segment_close(&segment);
}

/* An index as the old version would have made it is one to the new. */
static void users_are_found(void **state)
{
    (void)state;
    struct slot2 *slot = at(REGION2_SLOTS);
    struct conn *table = at(REGION2_CONNS);
    struct users old = {.control = &slot[0].users,
                        .heads = at(REGION2_HEADS),
                        .table = table,
                        .capacity = CAPACITY,
                        .seed = 42};
    users_rebuild(&old, 0, 0);
    conn_claim(table, 33, 0, 0);
    memcpy(table[33].user, "alice", 5);
    table[33].user_len = 5;
    table[33].hash = users_hash(42, "alice", 5);
    conn_set_state(&table[33], CONN_OPEN);
    users_add(&old, 33);

    struct segment segment = migrate();
    const struct users fresh = {.control = &segment.slot[0].users,
                                .heads = segment.heads,
                                .table = segment.conn,
                                .capacity = CAPACITY,
                                .seed = segment.header->hash_seed};
    assert_true(users_valid(&fresh, 0));
    assert_int_equal(users_first(&fresh, "alice", 5), 33);
    assert_true(conn_valid(&segment.conn[33], WORKERS));
    segment_close(&segment);
}

static void holes_stay_holes(void **state)
{
    (void)state;
    struct stat file;
    ((uint8_t *)at(REGION2_RING_DATA))[5 * page] = 1;
    struct segment segment = migrate();
    assert_int_equal(fstat(segment.fd, &file), 0);
    assert_true((size_t)file.st_blocks * 512 <= 16 * page);
    segment_close(&segment);
}

static void a_segment_of_this_layout_is_only_opened(void **state)
{
    (void)state;
    struct segment made, opened;
    assert_int_equal(segment_create(&made, &header->shape, "node"), 0);
    made.slot[1].restarts = 3;
    assert_int_equal(migrate_open(&opened, dup(made.fd)), SEGMENT_LAYOUT);
    opened.slot[1].restarts++;
    assert_int_equal(made.slot[1].restarts, 4);
    segment_close(&opened);
    segment_close(&made);
}

static void expect_refused(int why)
{
    struct segment segment;
    assert_int_equal(migrate_open(&segment, fd), -1);
    assert_int_equal(errno, why);
    assert_int_not_equal(fcntl(fd, F_GETFD), -1); /* it is the caller's still */
}

static void what_has_no_row_is_refused(void **state)
{
    (void)state;
    header->layout = 1;
    expect_refused(EPROTO);
    header->layout = SEGMENT_LAYOUT + 1;
    expect_refused(EPROTO);
    header->layout = 2;
    header->magic++;
    expect_refused(EPROTO);
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    header->size += page;
    expect_refused(EPROTO);
    header->size -= page;
    assert_int_equal(ftruncate(fd, (off_t)(header->size + page)), 0);
    expect_refused(EPROTO);
    assert_int_equal(ftruncate(fd, 64), 0); /* base must not be touched from here on */
    expect_refused(EPROTO);
}

int main(void)
{
#define MIGRATION_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        MIGRATION_TEST(a_header_keeps_what_the_outside_knows),
        MIGRATION_TEST(regions_come_over_byte_by_byte),
        MIGRATION_TEST(slots_come_over_field_by_field),
        MIGRATION_TEST(a_link_that_is_down_has_its_failure_still_to_be_told),
        MIGRATION_TEST(counters_go_on),
        MIGRATION_TEST(users_are_found),
        MIGRATION_TEST(holes_stay_holes),
        MIGRATION_TEST(a_segment_of_this_layout_is_only_opened),
        MIGRATION_TEST(what_has_no_row_is_refused),
        MIGRATION_TEST(sizes_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
