/*
 * The shared segment: the places of its regions, that they are complete and do not overlap, and
 * that only a segment of this layout is opened.
 */
#include "shm/segment.h"

#include "shm/layout.h"

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

#include "common/clock.h"
#include "shm/addresses.h"
#include "shm/board.h"
#include "shm/history.h"
#include "shm/conn.h"
#include "shm/kicks.h"
#include "shm/ring.h"
#include "shm/slot.h"
#include "shm/stats.h"
#include "shm/topics.h"

static size_t page;

static struct segment_shape small_shape(void)
{
    return (struct segment_shape){
        .workers = 3,
        .capacity = 1000,
        .memberships = 500,
        .ring_size = (uint32_t)page,
        .link_in_size = (uint32_t)(2 * page),
        .link_out_size = (uint32_t)(4 * page),
    };
}

/* Every piece that is used separately. */
struct piece {
    size_t start, size;
    bool own_pages;
};
static struct piece pieces[200];
static size_t piece_count;

static void add_piece(size_t start, size_t size, bool own_pages)
{
    assert_true(piece_count < sizeof(pieces) / sizeof(pieces[0]));
    pieces[piece_count++] = (struct piece){start, size, own_pages};
}

static void add_region(const struct segment *segment, const void *at, size_t size)
{
    add_piece((size_t)((const uint8_t *)at - segment->base), size, true);
}

static int by_start(const void *a, const void *b)
{
    const size_t left = ((const struct piece *)a)->start, right = ((const struct piece *)b)->start;
    return left < right ? -1 : left > right;
}

static void collect_pieces(const struct segment *segment)
{
    const struct segment_shape *const shape = &segment->header->shape;
    const size_t workers = shape->workers;

    piece_count = 0;
    add_region(segment, segment->header, sizeof(*segment->header));
    add_region(segment, segment->board, sizeof(struct board));
    add_region(segment, segment->history, sizeof(struct history));
    add_region(segment, segment->slot, workers * sizeof(struct slot));
    add_region(segment, segment->stats, workers * sizeof(struct stats));
    add_region(segment, segment->conn, shape->capacity * sizeof(struct conn));
    add_region(segment, segment->backlog, shape->capacity * sizeof(uint64_t));
    add_region(segment, segment->sent, shape->capacity * sizeof(uint32_t));
    add_region(segment, segment->siblings, shape->capacity * sizeof(uint32_t));
    add_region(segment, segment->kicks, sizeof(struct kicks));
    add_region(segment, segment->heads, workers * shape->capacity * sizeof(uint32_t));
    add_region(segment, segment->addresses,
               workers * addresses_size(shape->capacity) * sizeof(struct address_entry));
    add_region(segment, segment->topic_heads, workers * shape->memberships * sizeof(uint32_t));
    add_region(segment, segment->topic, workers * shape->memberships * sizeof(struct topic));
    add_region(segment, segment->member,
               workers * shape->memberships * sizeof(struct topic_member));
    for (uint32_t i = 0; i < workers; i++) {
        add_piece(segment_link_in_offset(segment, i), shape->link_in_size, true);
        add_piece(segment_link_out_offset(segment, i), shape->link_out_size, true);
        for (uint32_t j = 0; j < workers; j++) {
            const uint8_t *const control = (const void *)segment_ring_control(segment, i, j);
            add_piece(segment_ring_offset(segment, i, j), shape->ring_size, true);
            add_piece((size_t)(control - segment->base), sizeof(struct ring_control), false);
        }
    }
    qsort(pieces, piece_count, sizeof(pieces[0]), by_start);
}

static void regions_are_apart_and_on_pages(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    struct segment segment;
    size_t end = 0;

    assert_int_equal(segment_create(&segment, &shape, "node"), 0);
    collect_pieces(&segment);
    assert_int_equal(piece_count, 15 + 2 * 3 + 2 * 9);
    for (size_t i = 0; i < piece_count; i++) {
        assert_true(pieces[i].start >= end);
        if (pieces[i].own_pages)
            assert_int_equal(pieces[i].start % page, 0);
        end = pieces[i].start + pieces[i].size;
    }
    assert_true(end <= segment.size);
    assert_true(segment.size - end < page);
    segment_close(&segment);
}

static void structs_keep_to_their_cache_lines(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct conn) % CACHE_LINE, 0);
    assert_int_equal(sizeof(struct slot) % CACHE_LINE, 0);
    assert_int_equal(sizeof(struct stats) % CACHE_LINE, 0);
    assert_int_equal(sizeof(struct ring_control) % CACHE_LINE, 0);
}

/* The rings' and links' bytes, too, which are never mapped in place. */
static uint8_t *map_all(const struct segment *segment)
{
    uint8_t *const all =
        mmap(NULL, segment->size, PROT_READ | PROT_WRITE, MAP_SHARED, segment->fd, 0);

    assert_ptr_not_equal(all, MAP_FAILED);
    return all;
}

static void a_new_segment_is_zero_but_for_its_header(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    const uint64_t before = clock_wall_ms();
    struct segment segment;

    assert_int_equal(segment_create(&segment, &shape, "node"), 0);
    assert_true(segment_valid(&segment));
    assert_int_equal(segment.header->magic, SEGMENT_MAGIC);
    assert_memory_equal(&segment.header->magic, "wspushd", 8);
    assert_memory_equal(&segment.header->shape, &shape, sizeof(shape));
    assert_string_equal(segment.header->node, "node");
    assert_int_equal(segment.header->size, segment.size);
    assert_in_range(segment.header->started_ms, before, clock_wall_ms());
    assert_in_range(segment.header->began_ms, 1, clock_mono_ms());
    assert_int_equal(segment_plan(&segment).active, shape.workers);
    assert_int_equal(segment_plan(&segment).phase, PLAN_REST);
    uint8_t *const all = map_all(&segment);
    for (size_t i = sizeof(*segment.header); i < segment.size; i++) {
        if (all[i] != 0)
            fail_msg("byte %zu is not 0", i);
    }
    munmap(all, segment.size);
    segment_close(&segment);
}

static void every_segment_has_its_own_secrets(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    struct segment a, b;

    assert_int_equal(segment_create(&a, &shape, "node"), 0);
    assert_int_equal(segment_create(&b, &shape, "node"), 0);
    assert_true(a.header->hash_seed != b.header->hash_seed);
    assert_true(a.header->boot_id != b.header->boot_id);
    segment_close(&a);
    segment_close(&b);
}

static void the_memfd_is_sparse_sealed_and_closed_on_exec(void **state)
{
    (void)state;
    struct segment_shape shape = small_shape();
    struct segment segment;
    struct stat file;

    shape.workers = WORKERS_MAX;
    shape.capacity = 16 * 1000 * 1000;
    shape.ring_size = 1 << 24;
    assert_int_equal(segment_create(&segment, &shape, "node"), 0);
    assert_int_equal(fstat(segment.fd, &file), 0);
    assert_int_equal(file.st_size, segment.size);
    assert_true(file.st_size > INT64_C(64) * 64 * (1 << 24));
    assert_true((size_t)file.st_blocks * 512 <= page);
    assert_int_equal(fcntl(segment.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(ftruncate(segment.fd, file.st_size - (off_t)page), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(segment.fd, file.st_size + (off_t)page), -1);
    assert_int_equal(errno, EPERM);
    segment_close(&segment);
}

static void expect_no_segment(struct segment_shape shape)
{
    struct segment segment;

    errno = 0;
    assert_int_equal(segment_create(&segment, &shape, "node"), -1);
    assert_int_equal(errno, EINVAL);
}

static void shapes_that_cannot_be_are_refused(void **state)
{
    (void)state;
#define EXPECT_NO_SEGMENT(field, value)             \
    do {                                            \
        struct segment_shape shape = small_shape(); \
        shape.field = (uint32_t)(value);            \
        expect_no_segment(shape);                   \
    } while (0)
    EXPECT_NO_SEGMENT(workers, 0);
    EXPECT_NO_SEGMENT(workers, WORKERS_MAX + 1);
    EXPECT_NO_SEGMENT(workers, UINT32_MAX);
    EXPECT_NO_SEGMENT(capacity, 0);
    EXPECT_NO_SEGMENT(capacity, USERS_BUCKETS_MIN - 1);
    EXPECT_NO_SEGMENT(memberships, 0);
    EXPECT_NO_SEGMENT(memberships, TOPICS_BUCKETS_MIN - 1);
    EXPECT_NO_SEGMENT(ring_size, 0);
    EXPECT_NO_SEGMENT(ring_size, page / 2);
    EXPECT_NO_SEGMENT(ring_size, 3 * page);
    EXPECT_NO_SEGMENT(ring_size, UINT32_MAX);
    EXPECT_NO_SEGMENT(link_in_size, 0);
    EXPECT_NO_SEGMENT(link_in_size, page + 1);
    EXPECT_NO_SEGMENT(link_out_size, 0);
    EXPECT_NO_SEGMENT(link_out_size, 5 * page);
#undef EXPECT_NO_SEGMENT
}

static void the_largest_sizes_do_not_overflow(void **state)
{
    (void)state;
    const struct segment_shape shape = {WORKERS_MAX, UINT32_MAX, UINT32_MAX,
                                        1u << 31,    1u << 31,   1u << 31};
    struct segment segment;

    /* 2^43 bytes and more: the machine may or may not be able to map it. */
    if (segment_create(&segment, &shape, "node") == -1) {
        assert_int_not_equal(errno, EINVAL);
        return;
    }
    assert_true(segment.size > (size_t)64 * 64 << 31);
    assert_true(segment_link_out_offset(&segment, 63) + (1u << 31) == segment.size);
    segment_close(&segment);
}

static void node_names_have_a_limit(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    struct segment segment;
    char name[NODE_NAME_MAX + 1] = {0};

    memset(name, 'n', NODE_NAME_MAX);
    assert_int_equal(segment_create(&segment, &shape, name), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    name[NODE_NAME_MAX - 1] = '\0';
    assert_int_equal(segment_create(&segment, &shape, name), 0);
    assert_string_equal(segment.header->node, name);
    segment_close(&segment);
}

static void opening_gives_the_same_bytes(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    struct segment made, opened;

    assert_int_equal(segment_create(&made, &shape, "node"), 0);
    const int fd = dup(made.fd);
    assert_int_equal(segment_open(&opened, fd), 0);
    assert_int_equal(opened.fd, fd);
    assert_ptr_not_equal(opened.base, made.base);
    assert_true(segment_valid(&opened));
    made.conn[999].mark = 7;
    made.heads[3 * 1000 - 1] = 8;
    assert_int_equal(opened.conn[999].mark, 7);
    assert_int_equal(opened.heads[3 * 1000 - 1], 8);
    assert_int_equal(segment_link_out_offset(&opened, 2), segment_link_out_offset(&made, 2));
    segment_close(&made);
    assert_int_equal(opened.conn[999].mark, 7);
    segment_close(&opened);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void expect_protocol_error(int fd)
{
    struct segment segment;

    errno = 0;
    assert_int_equal(segment_open(&segment, fd), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_not_equal(fcntl(fd, F_GETFD), -1);
}

static void foreign_headers_are_not_opened(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    struct segment segment;

    assert_int_equal(segment_create(&segment, &shape, "node"), 0);
    const struct segment_header good = *segment.header;
#define EXPECT_FOREIGN(field, value)           \
    do {                                       \
        segment.header->field = (value);       \
        assert_false(segment_valid(&segment)); \
        expect_protocol_error(segment.fd);     \
        *segment.header = good;                \
        assert_true(segment_valid(&segment));  \
    } while (0)
    EXPECT_FOREIGN(magic, SEGMENT_MAGIC + 1);
    EXPECT_FOREIGN(layout, layout_fingerprint() + 1);
    EXPECT_FOREIGN(size, good.size + page);
    EXPECT_FOREIGN(size, good.size - page);
    EXPECT_FOREIGN(shape.workers, 0);
    EXPECT_FOREIGN(shape.workers, 4);
    EXPECT_FOREIGN(shape.capacity, 1000000);
    EXPECT_FOREIGN(shape.memberships, 1000000);
    EXPECT_FOREIGN(shape.ring_size, 12345);
    EXPECT_FOREIGN(plan, plan_pack((struct plan){.active = 0, .other = 1}));
    EXPECT_FOREIGN(plan, plan_pack((struct plan){.active = 1, .other = 4}));
    EXPECT_FOREIGN(plan, plan_pack((struct plan){.phase = 99, .active = 1, .other = 1}));
#undef EXPECT_FOREIGN
    memset(segment.header->node, 'n', NODE_NAME_MAX);
    expect_protocol_error(segment.fd);
    segment_close(&segment);
}

static void files_of_another_size_are_not_opened(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    struct segment segment;
    const int fd = memfd_create("test", MFD_CLOEXEC);

    assert_int_equal(segment_create(&segment, &shape, "node"), 0);
    expect_protocol_error(fd);
    assert_int_equal(pwrite(fd, segment.header, 100, 0), 100);
    expect_protocol_error(fd);
    assert_int_equal(pwrite(fd, segment.header, sizeof(*segment.header), 0),
                     sizeof(*segment.header));
    expect_protocol_error(fd);
    assert_int_equal(ftruncate(fd, (off_t)(segment.size - page)), 0);
    expect_protocol_error(fd);
    assert_int_equal(ftruncate(fd, (off_t)(segment.size + page)), 0);
    expect_protocol_error(fd);
    close(fd);
    assert_int_equal(segment_open(&segment, fd), -1);
    assert_int_equal(errno, EBADF);
    segment_close(&segment);
}

static void a_mirror_shows_the_same_bytes_twice(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    struct segment segment;

    assert_int_equal(segment_create(&segment, &shape, "node"), 0);
    const size_t offset = segment_link_in_offset(&segment, 1), size = shape.link_in_size;
    uint8_t *const all = map_all(&segment);
    uint8_t *const mirror = segment_mirror(&segment, offset, size);
    assert_non_null(mirror);
    memcpy(mirror + size - 4, "wrapping", 8);
    assert_memory_equal(mirror, "ping", 4);
    assert_memory_equal(all + offset, "ping", 4);
    assert_memory_equal(all + offset + size - 4, "wrap", 4);
    assert_memory_equal(mirror + 2 * size - 4, "wrap", 4);
    for (size_t i = 0; i < size; i++) {
        mirror[i + (i % 2) * size] = (uint8_t)(i * 7);
        if (mirror[i + (1 - i % 2) * size] != (uint8_t)(i * 7))
            fail_msg("the halves differ at %zu", i);
    }
    /* Its neighbours are untouched. */
    assert_int_equal(all[offset - 1], 0);
    assert_int_equal(all[offset + size], 0);
    munmap(mirror, 2 * size);
    munmap(all, segment.size);
    segment_close(&segment);
}

/* All of slot 1 is freed, and nothing of the others. */
static void a_released_slot_is_zero_and_the_others_are_as_they_were(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    const size_t capacity = shape.capacity, memberships = shape.memberships;
    struct segment segment;

    assert_int_equal(segment_create(&segment, &shape, "node"), 0);
    uint8_t *const all = map_all(&segment);
    memset(all + segment.ring_data, 7, segment.size - segment.ring_data);
    memset(segment.heads, 7, 3 * capacity * sizeof(uint32_t));
    memset(segment.topic, 7, 3 * memberships * sizeof(struct topic));
    memset(segment.member, 7, 3 * memberships * sizeof(struct topic_member));
    segment_release(&segment, 1);
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t wanted = i == 1 ? 0 : 0x07070707;
        assert_int_equal(segment.heads[i * capacity], wanted);
        assert_int_equal(segment.heads[(i + 1) * capacity - 1], wanted);
        assert_int_equal(segment.topic[i * memberships].hash, wanted);
        assert_int_equal(segment.topic[(i + 1) * memberships - 1].hash, wanted);
        assert_int_equal(segment.member[i * memberships].fd, wanted);
        assert_int_equal(segment.member[(i + 1) * memberships - 1].fd, wanted);
        assert_int_equal(all[segment_link_in_offset(&segment, i)], wanted & 0xff);
        assert_int_equal(all[segment_link_out_offset(&segment, i) + shape.link_out_size - 1],
                         wanted & 0xff);
        for (uint32_t j = 0; j < 3; j++)
            assert_int_equal(all[segment_ring_offset(&segment, i, j) + page - 1],
                             i == 1 || j == 1 ? 0 : 7);
    }
    assert_true(segment_valid(&segment));
    munmap(all, segment.size);
    segment_close(&segment);
}

static void plans_and_stages_pack_into_a_word(void **state)
{
    (void)state;
    const struct plan plan = {
        .number = 0xfedcba98, .phase = PLAN_TAKE, .active = WORKERS_MAX, .other = 1};
    const struct plan back = plan_unpack(plan_pack(plan));

    assert_int_equal(back.number, plan.number);
    assert_int_equal(back.phase, plan.phase);
    assert_int_equal(back.active, plan.active);
    assert_int_equal(back.other, plan.other);
    assert_int_equal(plan_slots(plan), WORKERS_MAX);
    const uint64_t stage = stage_pack(plan.number, STAGE_FENCED);
    assert_int_equal(stage_unpack(stage, plan.number), STAGE_FENCED);
    assert_int_equal(stage_unpack(stage, plan.number + 1), STAGE_NONE);
    assert_int_equal(stage_unpack(0, 1), STAGE_NONE);
}

static void a_mirror_that_cannot_be_is_refused(void **state)
{
    (void)state;
    const struct segment_shape shape = small_shape();
    struct segment segment;

    assert_int_equal(segment_create(&segment, &shape, "node"), 0);
    errno = 0;
    assert_null(segment_mirror(&segment, 1, page));
    assert_int_equal(errno, EINVAL);
    segment_close(&segment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_are_apart_and_on_pages),
        cmocka_unit_test(structs_keep_to_their_cache_lines),
        cmocka_unit_test(a_new_segment_is_zero_but_for_its_header),
        cmocka_unit_test(every_segment_has_its_own_secrets),
        cmocka_unit_test(the_memfd_is_sparse_sealed_and_closed_on_exec),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
        cmocka_unit_test(the_largest_sizes_do_not_overflow),
        cmocka_unit_test(node_names_have_a_limit),
        cmocka_unit_test(opening_gives_the_same_bytes),
        cmocka_unit_test(foreign_headers_are_not_opened),
        cmocka_unit_test(files_of_another_size_are_not_opened),
        cmocka_unit_test(a_mirror_shows_the_same_bytes_twice),
        cmocka_unit_test(a_mirror_that_cannot_be_is_refused),
        cmocka_unit_test(a_released_slot_is_zero_and_the_others_are_as_they_were),
        cmocka_unit_test(plans_and_stages_pack_into_a_word),
    };
    page = (size_t)sysconf(_SC_PAGESIZE);
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
