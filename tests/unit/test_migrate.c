/*
 * Migrates a segment with data in every region into one of this layout: from the same structs, and
 * from structs that have grown since.
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

#include "shm/layout.h"
#include "shm/users.h"

enum { WORKERS = 3, CAPACITY = 1000, MEMBERSHIPS = 500, OTHER_LAYOUT = 77 };

/* The old segment: a file, and the places of its regions. */
static size_t page;
static int old_fd;
static uint8_t *old_base;
static struct regions old;

static struct segment_shape shape_of_test(void)
{
    return (struct segment_shape){.workers = WORKERS,
                                  .capacity = CAPACITY,
                                  .memberships = MEMBERSHIPS,
                                  .ring_size = (uint32_t)(16 * page),
                                  .link_in_size = (uint32_t)(2 * page),
                                  .link_out_size = (uint32_t)(4 * page)};
}

static void *old_region(enum region region)
{
    return old_base + old.offset[region];
}

/* Makes the old segment, with the element sizes that the row names. */
static void make_old(const struct migrate_row *row)
{
    const struct segment_shape shape = shape_of_test();
    old = regions_of(&shape);
    for (size_t i = 0; i < REGION_COUNT; i++)
        old.element_bytes[i] = row->element_bytes[i] ? row->element_bytes[i] : old.element_bytes[i];
    regions_lay_out(&old);
    old_fd = memfd_create("old", 0);
    assert_int_not_equal(old_fd, -1);
    assert_int_equal(ftruncate(old_fd, (off_t)old.offset[REGION_COUNT]), 0);
    old_base = mmap(NULL, old.offset[REGION_COUNT], PROT_READ | PROT_WRITE, MAP_SHARED, old_fd, 0);
    assert_ptr_not_equal(old_base, MAP_FAILED);
    struct segment_header *header = old_region(REGION_HEADER);
    header->magic = SEGMENT_MAGIC;
    header->layout = row->from;
    header->boot_id = 0xb007;
    header->shape = shape;
    header->own_fds = 20;
    header->size = old.offset[REGION_COUNT];
    header->hash_seed = 42;
    header->plan = plan_pack((struct plan){.active = WORKERS, .other = WORKERS});
    strcpy(header->node, "node-a");
}

static int set_up(void **state)
{
    (void)state;
    page = (size_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    munmap(old_base, old.offset[REGION_COUNT]);
    close(old_fd);
    return 0;
}

static struct segment carry(const struct migrate_row *row)
{
    struct segment segment;
    assert_int_equal(migrate_carry(&segment, old_fd, old.offset[REGION_COUNT], row), 0);
    assert_true(segment_valid(&segment));
    return segment;
}

/* Gives every word of a region a unique value, so that a misplaced word is found. */
static void scribble(enum region region)
{
    uint32_t *word = old_region(region);
    const size_t words = old.count[region] * old.element_bytes[region] / sizeof(*word);
    for (size_t i = 0; i < words; i++)
        word[i] = (uint32_t)((size_t)region << 28 | (i + 1));
}

static void expect_zeros(const uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(at[i], 0);
}

/* Each element has its old bytes, followed by zeros. */
static void expect_region(const struct segment *segment, enum region region)
{
    const struct regions new = regions_of(&segment->header->shape);
    const size_t old_bytes = old.element_bytes[region], new_bytes = new.element_bytes[region];
    uint8_t *element = malloc(new_bytes);
    assert_non_null(element);
    for (size_t i = 0; i < new.count[region]; i++) {
        const off_t at = (off_t)(new.offset[region] + i *new_bytes);
        assert_int_equal(pread(segment->fd, element, new_bytes, at), new_bytes);
        assert_memory_equal(element, (uint8_t *)old_region(region) + i * old_bytes, old_bytes);
        expect_zeros(element + old_bytes, new_bytes - old_bytes);
    }
    free(element);
}

static void expect_carried(const struct migrate_row *row)
{
    make_old(row);
    for (enum region region = REGION_BOARD; region < REGION_COUNT; region++)
        scribble(region);
    struct segment segment = carry(row);
    for (enum region region = REGION_BOARD; region < REGION_COUNT; region++)
        expect_region(&segment, region);
    segment_close(&segment);
}

static void regions_of_the_same_structs_are_copied(void **state)
{
    (void)state;
    expect_carried(&(struct migrate_row){.from = OTHER_LAYOUT});
}

static void structs_that_have_grown_keep_their_old_bytes(void **state)
{
    (void)state;
    expect_carried(
        &(struct migrate_row){.from = OTHER_LAYOUT,
                              .element_bytes = {[REGION_STATS] = sizeof(struct stats) - 64,
                                                [REGION_SLOTS] = sizeof(struct slot) - 128,
                                                [REGION_BOARD] = sizeof(struct board) - 8,
                                                [REGION_CONNS] = sizeof(struct conn) / 2}});
}

static void a_header_keeps_what_the_outside_knows(void **state)
{
    (void)state;
    const struct migrate_row row = {
        .from = OTHER_LAYOUT,
        .element_bytes = {[REGION_HEADER] = offsetof(struct segment_header, kept)}};
    make_old(&row);
    struct segment segment = carry(&row);
    assert_int_equal(segment.header->layout, layout_fingerprint());
    assert_int_equal(segment.header->boot_id, 0xb007);
    assert_int_equal(segment.header->hash_seed, 42);
    assert_int_equal(segment.header->own_fds, 20);
    assert_string_equal(segment.header->node, "node-a");
    assert_string_equal(segment.header->kept, "");
    segment_close(&segment);
}

static int count_restarts(struct segment *segment)
{
    segment->slot[2].restarts += 5;
    return 0;
}

static int refuse_to_finish(struct segment *segment)
{
    (void)segment;
    errno = ENOTSUP;
    return -1;
}

static void a_row_completes_what_it_copied(void **state)
{
    (void)state;
    struct migrate_row row = {.from = OTHER_LAYOUT, .finish = count_restarts};
    struct segment segment;
    make_old(&row);
    ((struct slot *)old_region(REGION_SLOTS))[2].restarts = 2;
    segment = carry(&row);
    assert_int_equal(segment.slot[2].restarts, 7);
    segment_close(&segment);
    row.finish = refuse_to_finish;
    assert_int_equal(migrate_carry(&segment, old_fd, old.offset[REGION_COUNT], &row), -1);
    assert_int_equal(errno, ENOTSUP);
}

/* An index made by the old version is valid for the new version. */
static void users_are_found(void **state)
{
    (void)state;
    const struct migrate_row row = {.from = OTHER_LAYOUT};
    make_old(&row);
    struct slot *slot = old_region(REGION_SLOTS);
    struct conn *table = old_region(REGION_CONNS);
    struct users users = {.control = &slot[0].users,
                          .heads = old_region(REGION_HEADS),
                          .siblings = old_region(REGION_SIBLINGS),
                          .table = table,
                          .capacity = CAPACITY,
                          .seed = 42};
    users_rebuild(&users, 0, 0);
    conn_claim(table, 33, 0, 0);
    memcpy(table[33].user, "alice", 5);
    table[33].user_len = 5;
    table[33].hash = users_hash(42, "alice", 5);
    conn_publish(&table[33], word_make(0, 0, CONN_OPEN, 0));
    users_add(&users, 33);

    struct segment segment = carry(&row);
    const struct users carried = {.control = &segment.slot[0].users,
                                  .heads = segment.heads,
                                  .siblings = segment.siblings,
                                  .table = segment.conn,
                                  .capacity = CAPACITY,
                                  .seed = segment.header->hash_seed};
    assert_true(users_valid(&carried, 0));
    assert_int_equal(users_first(&carried, "alice", 5), 33);
    assert_true(conn_valid(&segment.conn[33], WORKERS));
    segment_close(&segment);
}

static void holes_stay_holes(void **state)
{
    (void)state;
    const struct migrate_row row = {.from = OTHER_LAYOUT};
    struct stat file;
    make_old(&row);
    ((uint8_t *)old_region(REGION_RING_DATA))[5 * page] = 1;
    struct segment segment = carry(&row);
    assert_int_equal(fstat(segment.fd, &file), 0);
    assert_true((size_t)file.st_blocks * 512 <= 16 * page);
    segment_close(&segment);
}

static void a_segment_of_this_layout_is_only_opened(void **state)
{
    (void)state;
    const struct segment_shape shape = shape_of_test();
    struct segment made, opened;
    uint64_t from;
    make_old(&(struct migrate_row){.from = OTHER_LAYOUT});
    assert_int_equal(segment_create(&made, &shape, "node"), 0);
    made.slot[1].restarts = 3;
    assert_int_equal(migrate_open(&opened, dup(made.fd), &from), 0);
    assert_int_equal(from, layout_fingerprint());
    opened.slot[1].restarts++;
    assert_int_equal(made.slot[1].restarts, 4);
    segment_close(&opened);
    segment_close(&made);
}

static void a_layout_without_a_row_is_refused(void **state)
{
    (void)state;
    struct segment segment;
    uint64_t from;
    make_old(&(struct migrate_row){.from = OTHER_LAYOUT});
    struct segment_header *header = old_region(REGION_HEADER);
    assert_int_equal(migrate_open(&segment, old_fd, &from), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(from, OTHER_LAYOUT);
    assert_int_not_equal(fcntl(old_fd, F_GETFD), -1); /* still the caller's */
    header->magic++;
    assert_int_equal(migrate_open(&segment, old_fd, &from), -1);
    assert_int_equal(errno, EPROTO);
}

static void expect_size_refused(size_t size, const struct migrate_row *row)
{
    struct segment segment;
    assert_int_equal(migrate_carry(&segment, old_fd, size, row), -1);
    assert_int_equal(errno, EPROTO);
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const struct migrate_row row = {.from = OTHER_LAYOUT};
    make_old(&row);
    struct segment_header *header = old_region(REGION_HEADER);
    expect_size_refused(old.offset[REGION_COUNT] + page, &row);
    header->size += page;
    expect_size_refused(old.offset[REGION_COUNT], &row);
    header->shape.workers = 0;
    expect_size_refused(old.offset[REGION_COUNT], &row);
    assert_int_equal(ftruncate(old_fd, 64), 0); /* old_base must not be touched from here on */
    expect_size_refused(64, &row);
}

int main(void)
{
#define MIGRATION_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        MIGRATION_TEST(regions_of_the_same_structs_are_copied),
        MIGRATION_TEST(structs_that_have_grown_keep_their_old_bytes),
        MIGRATION_TEST(a_header_keeps_what_the_outside_knows),
        MIGRATION_TEST(a_row_completes_what_it_copied),
        MIGRATION_TEST(users_are_found),
        MIGRATION_TEST(holes_stay_holes),
        MIGRATION_TEST(a_segment_of_this_layout_is_only_opened),
        MIGRATION_TEST(a_layout_without_a_row_is_refused),
        MIGRATION_TEST(sizes_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
