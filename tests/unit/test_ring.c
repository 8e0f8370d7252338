/*
 * Rings, one step at a time: against a model, full and wrapping, and with ends that attach in the
 * middle. The two ends run concurrently in test_ring_race.c.
 */
#include "shm/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ring_fixture.h"

static void an_unpublished_entry_is_not_seen(void **state)
{
    (void)state;
    uint64_t position = 0;

    assert_false(ring_publish(&producer));
    assert_true(put(&producer, 1, 10));
    assert_false(ring_ready(&consumer));
    assert_null(ring_take(&consumer, NULL));
    assert_true(ring_publish(&producer));
    assert_false(ring_publish(&producer));
    assert_true(ring_ready(&consumer));
    const struct ring_entry *const entry = ring_take(&consumer, &position);
    assert_non_null(entry);
    assert_int_equal(entry->size, 10);
    assert_true(is_entry(entry, 1));
    assert_int_equal(position, 16 + 16);
    assert_null(ring_take(&consumer, &position));
    assert_true(ring_ready(&producer)); /* taken, but not done */
    assert_false(ring_commit(&consumer));
    assert_false(ring_ready(&producer));
    assert_true(ring_valid(&consumer));
}

static void the_largest_entry_fits_an_empty_ring(void **state)
{
    (void)state;
    const uint32_t max = ring_entry_max(&producer);

    for (uint32_t shift = 0; shift < 3; shift++) {
        assert_false(ring_fits(&producer, max + 1));
        assert_false(put(&producer, 1, max + 1));
        assert_false(put(&producer, 1, UINT32_MAX));
        assert_true(ring_fits(&producer, max));
        assert_true(put(&producer, 1, max));
        assert_false(ring_fits(&producer, 0));
        assert_false(put(&producer, 2, 0));
        assert_true(ring_publish(&producer));
        assert_true(ring_valid(&consumer));
        assert_true(is_entry(ring_take(&consumer, NULL), 1));
        assert_false(put(&producer, 2, 0)); /* taken is not done */
        ring_commit(&consumer);
        /* And the next time it begins elsewhere, and wraps. */
        assert_true(put(&producer, 2, 24 * shift));
        ring_publish(&producer);
        assert_true(is_entry(ring_take(&consumer, NULL), 2));
        ring_commit(&consumer);
    }
}

/* It is not taken, and the next commit skips it. */
static void a_cancelled_entry_is_not_seen(void **state)
{
    (void)state;
    struct ring successor, look;
    uint64_t position = 0;

    for (uint64_t number = 1; number <= 3; number++)
        memset(ring_reserve(&producer, 1, 0, 8), (int)number, 8);
    ring_publish(&producer);
    look = consumer;
    for (int i = 0; i < 3; i++) {
        const struct ring_entry *entry = ring_take(&look, NULL);
        assert_non_null(entry);
        if (entry->bytes[0] != 2)
            ring_cancel(&look, entry);
    }
    assert_true(ring_valid(&consumer));
    ring_attach(&successor, control, bytes, size);
    const struct ring_entry *entry = ring_take(&successor, &position);
    assert_non_null(entry);
    assert_int_equal(entry->bytes[0], 2);
    assert_int_equal(position, 2 * room(8));
    assert_null(ring_take(&successor, NULL));
    ring_commit(&successor);
    assert_false(ring_ready(&successor));
}

static void fill_with_hundreds(void)
{
    while (put(&producer, 1, 100))
        continue;
    ring_publish(&producer);
}

static void a_wish_for_room_is_seen_by_the_next_commit(void **state)
{
    (void)state;
    fill_with_hundreds();
    assert_false(ring_want_room(&producer, 100));
    assert_false(ring_room_made(&producer));
    ring_take(&consumer, NULL);
    assert_false(ring_room_made(&producer)); /* taken is not done */
    assert_true(ring_commit(&consumer));
    assert_true(ring_room_made(&producer));
    assert_true(ring_want_room(&producer, 100));
    ring_end_wish(&producer);
    assert_false(ring_room_made(&producer));
    ring_take(&consumer, NULL);
    assert_false(ring_commit(&consumer));
}

static void a_wish_lasts_until_it_is_taken_back(void **state)
{
    (void)state;
    fill_with_hundreds();
    assert_false(ring_want_room(&producer, 500));
    for (uint32_t i = 0; i < 3; i++)
        ring_take(&consumer, NULL);
    assert_true(ring_commit(&consumer));
    /* Another one needs less: the first wish remains, and is still honoured. */
    assert_true(ring_want_room(&producer, 50));
    assert_true(put(&producer, 2, 50));
    assert_true(ring_room_made(&producer));
    ring_take(&consumer, NULL);
    assert_true(ring_commit(&consumer));
    ring_end_wish(&producer);
    ring_take(&consumer, NULL);
    assert_false(ring_commit(&consumer));
    assert_false(ring_room_made(&producer));
}

static void a_successor_commits_for_a_wake_up_that_was_not_made(void **state)
{
    (void)state;
    fill_with_hundreds();
    assert_false(ring_want_room(&producer, 100));
    while (ring_take(&consumer, NULL) != NULL)
        continue;
    ring_commit(&consumer); /* and dies before it has woken the producer */
    ring_attach(&consumer, control, bytes, size);
    assert_true(ring_commit(&consumer));
    /* A producer that dies with a wish: its successor cancels the wish. */
    ring_attach(&producer, control, bytes, size);
    ring_end_wish(&producer);
    assert_false(ring_commit(&consumer));
}

static void what_a_dead_consumer_took_comes_again(void **state)
{
    (void)state;
    for (uint64_t number = 1; number <= 4; number++)
        assert_true(put(&producer, number, 20));
    ring_publish(&producer);
    assert_true(is_entry(ring_take(&consumer, NULL), 1));
    ring_commit(&consumer);
    assert_true(is_entry(ring_take(&consumer, NULL), 2));
    assert_true(is_entry(ring_take(&consumer, NULL), 3));
    ring_attach(&consumer, control, bytes, size);
    for (uint64_t number = 2; number <= 4; number++)
        assert_true(is_entry(ring_take(&consumer, NULL), number));
    assert_null(ring_take(&consumer, NULL));
}

static void what_a_dead_producer_did_not_publish_does_not_appear(void **state)
{
    (void)state;
    put(&producer, 1, 20);
    put(&producer, 2, 20);
    ring_publish(&producer);
    put(&producer, 3, 20);
    put(&producer, 4, 2000);
    ring_attach(&producer, control, bytes, size);
    assert_true(ring_published_before(&producer, 1));
    assert_true(ring_published_before(&producer, 2));
    assert_false(ring_published_before(&producer, 3));
    assert_false(ring_publish(&producer));
    put(&producer, 3, 30);
    assert_false(ring_published_before(&producer, 3)); /* by others, that is */
    ring_publish(&producer);
    for (uint64_t number = 1; number <= 3; number++)
        assert_true(is_entry(ring_take(&consumer, NULL), number));
    assert_null(ring_take(&consumer, NULL));
    ring_attach(&producer, control, bytes, size);
    assert_true(ring_published_before(&producer, 3));
    assert_false(ring_published_before(&producer, 4));
}

static void entries_without_an_origin_leave_it_alone(void **state)
{
    (void)state;
    put(&producer, 7, 20);
    ring_publish(&producer);
    put(&producer, 0, 20);
    ring_publish(&producer);
    put(&producer, 0, 20);
    ring_publish(&producer);
    ring_attach(&producer, control, bytes, size);
    assert_true(ring_published_before(&producer, 7));
    assert_false(ring_published_before(&producer, 8));
}

static void a_new_ring_has_published_nothing(void **state)
{
    (void)state;
    assert_false(ring_published_before(&producer, 1));
    assert_true(ring_valid(&producer));
}

/* A separate ring, larger than RING_QUIET: the fixture's has one page. */
static struct ring_control quiet_control;
static uint8_t quiet_bytes[2 * 4 * RING_QUIET]; /* mirrored by hand: nothing here crosses the end */

static void a_quiet_ring_stays_in_its_first_pages(void **state)
{
    (void)state;
    struct ring from, to;
    uint64_t last = 0;
    memset(&quiet_control, 0, sizeof(quiet_control));
    ring_attach(&from, &quiet_control, quiet_bytes, 4 * RING_QUIET);
    ring_attach(&to, &quiet_control, quiet_bytes, 4 * RING_QUIET);
    for (uint32_t number = 0; number < 20000; number++) {
        uint64_t position = 0;
        uint8_t *const room = ring_reserve(&from, 7, 0, 100);
        assert_non_null(room);
        assert_true(room < quiet_bytes + RING_QUIET + 128);
        memcpy(room, &number, sizeof(number));
        assert_true(ring_publish(&from));
        assert_true(ring_valid(&to));
        const struct ring_entry *const entry = ring_take(&to, &position);
        assert_int_equal(entry->type, 7);
        assert_memory_equal(entry->bytes, &number, sizeof(number));
        assert_true(position > last); /* positions never go back */
        last = position;
        assert_null(ring_take(&to, NULL));
        ring_commit(&to);
    }
}

static void a_ring_that_is_not_empty_does_not_skip(void **state)
{
    (void)state;
    struct ring from, to;
    memset(&quiet_control, 0, sizeof(quiet_control));
    ring_attach(&from, &quiet_control, quiet_bytes, 4 * RING_QUIET);
    ring_attach(&to, &quiet_control, quiet_bytes, 4 * RING_QUIET);
    const uint32_t count = (4 * RING_QUIET) / 128;
    for (uint32_t number = 0; number < count; number++)
        assert_non_null(ring_reserve(&from, 7, 0, 112)); /* the whole ring, without a gap */
    assert_null(ring_reserve(&from, 7, 0, 112));
    ring_publish(&from);
    for (uint32_t number = 0; number < count; number++)
        assert_non_null(ring_take(&to, NULL));
    assert_null(ring_take(&to, NULL));
}

static void broken_rings_are_not_valid(void **state)
{
    (void)state;
    put(&producer, 1, 20);
    put(&producer, 2, 20);
    ring_publish(&producer);
    assert_true(ring_valid(&consumer));
    struct ring_entry *const first = (void *)bytes;
    static const uint32_t wrong[] = {0, 12, 28, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        first->size = wrong[i];
        assert_false(ring_valid(&consumer));
    }
    first->size = 20;
    struct ring_entry *const second = (void *)(bytes + room(20));
    second->size = 60;
    assert_false(ring_valid(&consumer));
    second->size = 20;
    assert_true(ring_valid(&consumer));
    static const uint64_t heads[] = {8, 16, 39, 88, 1 << 20};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        atomic_store(&control->head, heads[i]);
        assert_false(ring_valid(&consumer));
    }
    atomic_store(&control->head, 40);
    assert_true(ring_valid(&consumer));
    atomic_store(&control->head, 0);
    atomic_store(&control->tail, (uint64_t)size + 8);
    assert_false(ring_valid(&consumer));
}

/* ---- Overwritten words ---- */

static const uint64_t impossible[] = {3, (uint64_t)1 << 40, (uint64_t)1 << 62,
                                      -((uint64_t)1 << 20)};

static void expect_entries(uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        const struct ring_entry *entry = ring_take(&consumer, NULL);
        assert_non_null(entry);
        assert_true(is_entry(entry, number));
    }
    assert_null(ring_take(&consumer, NULL));
}

static void a_head_that_cannot_be_is_put_right_by_the_consumer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
        fill_with_hundreds();
        atomic_store(&control->head, atomic_load(&control->head) + impossible[i]);
        assert_false(put(&producer, 2, 100));
        assert_false(ring_want_room(&producer, 100));
        ring_check_consumer(&consumer);
        assert_int_equal(ring_take_damage(&consumer), 1);
        for (const struct ring_entry *entry; (entry = ring_take(&consumer, NULL));)
            assert_true(is_entry(entry, 1));
        assert_true(ring_commit(&consumer));
        ring_end_wish(&producer);
        assert_true(put(&producer, 2, 100));
        ring_publish(&producer);
        expect_entries(2, 2);
        ring_commit(&consumer);
        assert_int_equal(ring_take_damage(&consumer) + ring_take_damage(&producer), 0);
    }
}

static void a_tail_that_cannot_be_is_put_right_by_the_producer(void **state)
{
    (void)state;
    uint64_t number = 0;
    static const uint64_t far[] = {(uint64_t)1 << 20, (uint64_t)1 << 40, UINT64_MAX / 2};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        assert_true(put(&producer, ++number, 50));
        ring_publish(&producer);
        atomic_store(&control->tail, atomic_load(&control->tail) + far[i]);
        assert_true(ring_doubtful(&consumer));
        assert_false(ring_ready(&consumer)); /* or the consumer would never sleep */
        assert_null(ring_take(&consumer, NULL));
        ring_check_producer(&producer);
        assert_int_equal(ring_take_damage(&producer), 1);
        expect_entries(number, number);
        ring_commit(&consumer);
    }
}

static void an_entry_that_does_not_end_in_the_ring_empties_it(void **state)
{
    (void)state;
    static const uint32_t wrong[] = {300, 1000, 1u << 20, UINT32_MAX};
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const uint64_t at = atomic_load(&control->tail) & (size - 1) & ~(uint64_t)7;
        put(&producer, ++number, 20);
        put(&producer, ++number, 20);
        ring_publish(&producer);
        ((struct ring_entry *)(void *)(bytes + at))->size = wrong[i];
        assert_null(ring_take(&consumer, NULL));
        assert_int_equal(ring_take_damage(&consumer), 1);
        ring_commit(&consumer);
        put(&producer, ++number, 20);
        ring_publish(&producer);
        expect_entries(number, number);
        ring_commit(&consumer);
    }
}

/* A death, and one wrong word: it is unknown which. */
static void what_a_successor_cannot_put_right_is_skipped(void **state)
{
    (void)state;
    static const bool tail_is_wrong[] = {false, true, false, true};
    for (size_t i = 0; i < sizeof(tail_is_wrong) / sizeof(tail_is_wrong[0]); i++) {
        put(&producer, 1, 20);
        ring_publish(&producer);
        atomic_fetch_add(tail_is_wrong[i] ? &control->tail : &control->head, (uint64_t)1 << 33);
        if (i < 2)
            ring_attach(&consumer, control, bytes, size);
        if (i > 0)
            ring_attach(&producer, control, bytes, size);
        ring_check_producer(&producer);
        ring_check_consumer(&consumer);
        if (ring_doubtful(&consumer)) {
            ring_skip(&consumer);
            ring_commit(&consumer);
        } else {
            while (ring_take(&consumer, NULL))
                ring_commit(&consumer);
        }
        assert_true(put(&producer, 7, 20));
        ring_publish(&producer);
        expect_entries(7, 7);
        ring_commit(&consumer);
        ring_take_damage(&consumer);
        ring_take_damage(&producer);
    }
}

/* Whichever word is overwritten, no read is outside the ring (ASan checks), and in the end both
 * ends agree again. */
static void random_damage_is_confined(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        uint8_t *const words = (uint8_t *)control;
        for (uint32_t k = draw(4); k > 0; k--)
            words[draw(sizeof(*control))] = (uint8_t)draw(256);
        for (uint32_t k = draw(8); k > 0; k--)
            bytes[draw(size)] = (uint8_t)draw(256);
        if (draw(10) == 0)
            ring_attach(draw(2) ? &consumer : &producer, control, bytes, size);
        for (uint32_t k = draw(6); k > 0; k--)
            put(&producer, 1, draw(400));
        ring_publish(&producer);
        ring_check_producer(&producer);
        ring_check_consumer(&consumer);
        if (ring_doubtful(&consumer))
            ring_skip(&consumer);
        for (const struct ring_entry *e; (e = ring_take(&consumer, NULL));)
            assert_true(e->size <= size);
        ring_commit(&consumer);
        ring_check_producer(&producer);
        if (ring_doubtful(&consumer)) {
            ring_skip(&consumer);
            ring_commit(&consumer);
        }
        assert_true(put(&producer, 7, 20));
        ring_publish(&producer);
        expect_entries(7, 7);
        ring_commit(&consumer);
    }
}

/* The model: every entry i has a length; four counters hold the progress of each step. */
enum { MODEL_ENTRIES = 200000 };
static uint32_t model_len[MODEL_ENTRIES + 1];
static struct {
    uint64_t written, published, taken, committed;
} model;

static uint32_t draw_len(void)
{
    const uint32_t kind = draw(100);
    return kind < 70 ? draw(64) : kind < 95 ? draw(512) : draw(ring_entry_max(&producer) + 1);
}

static uint64_t model_level(void)
{
    uint64_t level = 0;
    for (uint64_t i = model.committed + 1; i <= model.written; i++)
        level += room(model_len[i]);
    return level;
}

static void model_put(void)
{
    const uint32_t len = draw_len();
    const bool fits = model_level() + room(len) <= size;

    assert_int_equal(ring_fits(&producer, len), fits);
    assert_int_equal(put(&producer, model.written + 1, len), fits);
    if (fits)
        model_len[++model.written] = len;
}

static void model_take(void)
{
    const struct ring_entry *const entry = ring_take(&consumer, NULL);

    if (model.taken == model.published) {
        assert_null(entry);
        return;
    }
    assert_non_null(entry);
    model.taken++;
    assert_int_equal(entry->size, model_len[model.taken]);
    if (!is_entry(entry, model.taken))
        fail_msg("entry %llu is damaged", (unsigned long long)model.taken);
}

static void model_step(void)
{
    const uint32_t kind = draw(100);

    if (kind < 35) {
        model_put();
    } else if (kind < 50) {
        assert_int_equal(ring_publish(&producer), model.published != model.written);
        model.published = model.written;
    } else if (kind < 80) {
        model_take();
    } else if (kind < 98) {
        assert_false(ring_commit(&consumer));
        model.committed = model.taken;
    } else if (kind < 99) { /* the producer dies */
        ring_attach(&producer, control, bytes, size);
        model.written = model.published;
        assert_true(ring_published_before(&producer, model.published));
        assert_false(ring_published_before(&producer, model.published + 1));
    } else { /* the consumer dies */
        ring_attach(&consumer, control, bytes, size);
        model.taken = model.committed;
    }
}

static void it_agrees_with_the_model(void **state)
{
    (void)state;
    memset(&model, 0, sizeof(model));
    for (uint32_t step = 0; step < 400000 && model.written < MODEL_ENTRIES; step++) {
        model_step();
        assert_int_equal(ring_ready(&consumer), model.published != model.committed);
        if (!ring_valid(&consumer))
            fail_msg("not valid after step %u", step);
    }
    assert_true(atomic_load(&control->head) > 500 * (uint64_t)size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unpublished_entry_is_not_seen, begin, end),
        cmocka_unit_test_setup_teardown(the_largest_entry_fits_an_empty_ring, begin, end),
        cmocka_unit_test_setup_teardown(a_cancelled_entry_is_not_seen, begin, end),
        cmocka_unit_test_setup_teardown(a_wish_for_room_is_seen_by_the_next_commit, begin, end),
        cmocka_unit_test_setup_teardown(a_wish_lasts_until_it_is_taken_back, begin, end),
        cmocka_unit_test_setup_teardown(a_successor_commits_for_a_wake_up_that_was_not_made, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_a_dead_consumer_took_comes_again, begin, end),
        cmocka_unit_test_setup_teardown(what_a_dead_producer_did_not_publish_does_not_appear, begin,
                                        end),
        cmocka_unit_test_setup_teardown(entries_without_an_origin_leave_it_alone, begin, end),
        cmocka_unit_test_setup_teardown(a_new_ring_has_published_nothing, begin, end),
        cmocka_unit_test(a_quiet_ring_stays_in_its_first_pages),
        cmocka_unit_test(a_ring_that_is_not_empty_does_not_skip),
        cmocka_unit_test_setup_teardown(broken_rings_are_not_valid, begin, end),
        cmocka_unit_test_setup_teardown(a_head_that_cannot_be_is_put_right_by_the_consumer, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_tail_that_cannot_be_is_put_right_by_the_producer, begin,
                                        end),
        cmocka_unit_test_setup_teardown(an_entry_that_does_not_end_in_the_ring_empties_it, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_a_successor_cannot_put_right_is_skipped, begin, end),
        cmocka_unit_test_setup_teardown(random_damage_is_confined, begin, end),
        cmocka_unit_test_setup_teardown(it_agrees_with_the_model, begin, end),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
