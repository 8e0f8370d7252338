/*
 * The streams between a socket and a worker: the path of the bytes, and every point at which a
 * worker can die. A death is a copy of the words between two stores; since stream.c stores one
 * after the other, the copies are made by hand here, in the order in which it stores.
 */
#include "shm/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SIZE = 4096 };

static void set(struct stream *stream, uint64_t start, uint64_t end, uint64_t base,
                uint64_t next_base)
{
    atomic_store(&stream->start, start);
    atomic_store(&stream->end, end);
    atomic_store(&stream->base, base);
    atomic_store(&stream->next_base, next_base);
}

static void expect(const struct stream *stream, uint64_t start, uint64_t end, uint64_t base)
{
    assert_int_equal(stream_start(stream), start);
    assert_int_equal(stream_end(stream), end);
    assert_int_equal(atomic_load(&stream->base), base);
    assert_true(stream_valid(stream, SIZE));
}

static void bytes_come_and_go(void **state)
{
    struct stream stream = {0};
    (void)state;
    stream_begin(&stream);
    stream_put(&stream, 100);
    assert_int_equal(stream_level(&stream), 100);
    stream_done(&stream, 60);
    expect(&stream, 60, 100, 0);
    stream_put(&stream, 10);
    stream_done(&stream, 50);
    assert_int_equal(stream_level(&stream), 0);
    expect(&stream, 110, 110, 0);
}

static void a_new_socket_forgets_what_was_there(void **state)
{
    struct stream stream = {0};
    (void)state;
    stream_put(&stream, 100);
    stream_done(&stream, 40);
    stream_begin(&stream);
    expect(&stream, 100, 100, 100);
}

static void an_empty_stream_rewinds_to_the_start_of_its_memory(void **state)
{
    struct stream stream = {0};
    (void)state;
    stream_put(&stream, 100);
    stream_rewind(&stream, SIZE); /* not empty: nothing happens */
    expect(&stream, 0, 100, 0);
    stream_done(&stream, 100);
    stream_rewind(&stream, SIZE);
    expect(&stream, SIZE, SIZE, SIZE - 100); /* 100 bytes were received, still */
    stream_rewind(&stream, SIZE);            /* it is there already */
    expect(&stream, SIZE, SIZE, SIZE - 100);
    stream_put(&stream, 5);
    stream_done(&stream, 5);
    stream_rewind(&stream, SIZE);
    expect(&stream, 2 * SIZE, 2 * SIZE, 2 * SIZE - 105);
}

/* After each store of stream_rewind on { 100, 100, 0 }. */
static void a_death_within_a_rewind_is_made_good(void **state)
{
    static const struct {
        uint64_t start, end, base, next_base;
    } death[] = {
        {100, 100, 0, SIZE - 100},           /* next_base is set */
        {SIZE, 100, 0, SIZE - 100},          /* start: under way */
        {SIZE, 100, SIZE - 100, SIZE - 100}, /* base */
        {SIZE, SIZE, SIZE - 100, SIZE - 100} /* end: done */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(death) / sizeof(death[0]); i++) {
        struct stream stream;
        set(&stream, death[i].start, death[i].end, death[i].base, death[i].next_base);
        stream_recover(&stream);
        stream_rewind(&stream, SIZE);
        expect(&stream, SIZE, SIZE, SIZE - 100);
    }
}

/* recv(2) had put 30 bytes after the end, and the worker died before it recorded them. */
static void bytes_received_but_not_noted_are_found(void **state)
{
    struct stream stream;
    (void)state;
    set(&stream, SIZE, SIZE + 20, SIZE - 100, 0); /* 120 received, 20 not routed */
    assert_true(stream_reconcile_in(&stream, 150, SIZE));
    expect(&stream, SIZE, SIZE + 50, SIZE - 100);
    assert_true(stream_reconcile_in(&stream, 150, SIZE)); /* a second time changes nothing */
    expect(&stream, SIZE, SIZE + 50, SIZE - 100);
}

static void bytes_sent_but_not_noted_are_found(void **state)
{
    struct stream stream;
    (void)state;
    set(&stream, 40, 100, 0, 0);
    assert_true(stream_reconcile_out(&stream, 70));
    expect(&stream, 70, 100, 0);
    assert_true(stream_reconcile_out(&stream, 100));
    expect(&stream, 100, 100, 0);
}

static void numbers_that_cannot_be_are_refused(void **state)
{
    struct stream stream;
    (void)state;
    set(&stream, 40, 100, 0, 0);
    assert_false(stream_reconcile_in(&stream, 99, SIZE)); /* fewer than were noted */
    assert_false(
        stream_reconcile_in(&stream, 40 + SIZE + 1, SIZE)); /* more than there is room for */
    assert_true(stream_reconcile_in(&stream, 40 + SIZE, SIZE));
    set(&stream, 40, 100, 0, 0);
    assert_false(stream_reconcile_out(&stream, 39));
    assert_false(stream_reconcile_out(&stream, 101));
    expect(&stream, 40, 100, 0);
}

static void words_that_cannot_be_are_not_valid(void **state)
{
    struct stream stream;
    (void)state;
    set(&stream, 101, 100, 0, 0);
    assert_false(stream_valid(&stream, SIZE));
    set(&stream, 0, SIZE + 1, 0, 0);
    assert_false(stream_valid(&stream, SIZE));
    set(&stream, 0, 100, 101, 0);
    assert_false(stream_valid(&stream, SIZE));
    set(&stream, 0, SIZE, 0, 0);
    assert_true(stream_valid(&stream, SIZE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_and_go),
        cmocka_unit_test(a_new_socket_forgets_what_was_there),
        cmocka_unit_test(an_empty_stream_rewinds_to_the_start_of_its_memory),
        cmocka_unit_test(a_death_within_a_rewind_is_made_good),
        cmocka_unit_test(bytes_received_but_not_noted_are_found),
        cmocka_unit_test(bytes_sent_but_not_noted_are_found),
        cmocka_unit_test(numbers_that_cannot_be_are_refused),
        cmocka_unit_test(words_that_cannot_be_are_not_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
