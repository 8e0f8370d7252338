/*
 * Graves, and the detection of poison, from words and faults as workers leave them.
 */
#include "shm/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t build[BUILD_ID_SIZE] = {1, 2, 3};

/* A slot's part of the words, and the process that runs it. */
static struct slot_words words;
static struct fault fault;
static struct grave grave[2];
static struct poison poison;
static uint32_t incarnation;

static int begin(void **state)
{
    (void)state;
    memset(&words, 0, sizeof(words));
    memset(&fault, 0, sizeof(fault));
    memset(grave, 0, sizeof(grave));
    memset(&poison, 0, sizeof(poison));
    incarnation = 0;
    return 0;
}

static bool valid(void)
{
    return words_valid(&words, &fault, grave, &poison);
}

static void live(void)
{
    words_begin(&words, ++incarnation, build);
    assert_true(valid());
}

/* Dies by its own fault, at this age. */
static void die(uint32_t lived_ms)
{
    grave_dig(grave, &words, &fault, incarnation, lived_ms);
    assert_true(valid());
}

static void die_with_push(uint32_t source, uint64_t position, enum doing doing)
{
    live();
    words_doing(&words, doing);
    words_push(&words, source, position);
    die(5);
}

static void die_with_message(uint32_t fd, const char *text)
{
    live();
    words_doing(&words, DOING_READING);
    words_connection(&words, fd, 0);
    fault.incarnation = incarnation;
    fault.message = message_hash(7, (const uint8_t *)text, strlen(text));
    fault.message_len = (uint32_t)strlen(text);
    die(5);
}

static void die_with_connection(uint32_t fd, uint32_t generation, uint32_t lived_ms)
{
    live();
    words_doing(&words, DOING_SWEEPING);
    words_connection(&words, fd, generation);
    die(lived_ms);
}

static void expect_nobody_guilty(void)
{
    const struct guilt guilt = grave_guilt(grave);
    assert_true(guilt.position == NO_POSITION);
    assert_int_equal(guilt.fd, 0);
    assert_int_equal(guilt.message_len, 0);
}

static void doings_have_names(void **state)
{
    (void)state;
    assert_string_equal(doing_name(DOING_STARTING), "starting");
    assert_string_equal(doing_name(DOING_READING), "reading a client");
    assert_string_equal(doing_name(DOING_SWEEPING), "sweeping");
    assert_string_equal(doing_name(DOING_SWEEPING + 1), "unknown");
    assert_string_equal(doing_name(UINT32_MAX), "unknown");
}

static void words_of_another_process_are_not_taken_for_its_own(void **state)
{
    (void)state;
    live();
    words_push(&words, 0, 1000);
    fault.incarnation = incarnation;
    fault.message_len = 9;
    assert_true(words_are_of(&words, incarnation) && fault_is_of(&fault, incarnation));
    incarnation++; /* the next dies before it has begun its words */
    die(0);
    assert_false(words_are_of(&words, incarnation) || fault_is_of(&fault, incarnation));
    assert_int_equal(grave[0].incarnation, 2);
    assert_int_equal(grave[0].position, 0);
    assert_int_equal(grave[0].message_len, 0);
    live();
    assert_int_equal(words.position, 0);
    assert_memory_equal(words.build, build, sizeof(build));
}

static void a_push_is_guilty_of_two_deaths_and_not_of_one(void **state)
{
    (void)state;
    expect_nobody_guilty();
    die_with_push(0, 4096, DOING_ROUTING);
    expect_nobody_guilty();
    die_with_push(0, 4096, DOING_FLUSHING);
    const struct guilt guilt = grave_guilt(grave);
    assert_int_equal(guilt.position, 4096);
    assert_int_equal(guilt.source, 0);
    assert_false(guilt.unread);
    assert_int_equal(guilt.fd, 0);
}

static void another_place_or_source_is_another_push(void **state)
{
    (void)state;
    die_with_push(0, 4096, DOING_ROUTING);
    die_with_push(0, 4160, DOING_ROUTING);
    expect_nobody_guilty();
    die_with_push(1, 4160, DOING_RINGS);
    expect_nobody_guilty();
    die_with_push(1, 4160, DOING_RINGS);
    assert_int_equal(grave_guilt(grave).position, 4160);
    assert_int_equal(grave_guilt(grave).source, 1);
    die_with_push(0, 0, DOING_WAITING); /* nothing in hand, like the one after it */
    die_with_push(0, 0, DOING_WAITING);
    expect_nobody_guilty();
}

static void bytes_that_cannot_be_read_are_told_from_a_push(void **state)
{
    (void)state;
    die_with_push(0, 4096, DOING_PARSING);
    die_with_push(0, 4096, DOING_ROUTING);
    assert_false(grave_guilt(grave).unread);
    die_with_push(0, 4096, DOING_PARSING);
    die_with_push(0, 4096, DOING_PARSING);
    assert_true(grave_guilt(grave).unread);
}

static void a_message_is_known_by_its_bytes_on_any_connection(void **state)
{
    (void)state;
    die_with_message(30, "the same");
    expect_nobody_guilty();
    die_with_message(31, "the same");
    const struct guilt guilt = grave_guilt(grave);
    assert_int_equal(guilt.message_len, 8);
    assert_int_equal(guilt.fd, 31); /* the one that has sent it last */
    die_with_message(32, "the sane");
    expect_nobody_guilty();
}

static void a_connection_is_guilty_if_the_second_died_young(void **state)
{
    (void)state;
    die_with_connection(30, 5, 60000);
    die_with_connection(30, 5, POISON_YOUNG_MS - 1);
    assert_int_equal(grave_guilt(grave).fd, 30);
    assert_int_equal(grave_guilt(grave).generation, 5);
    die_with_connection(30, 5, POISON_YOUNG_MS);
    expect_nobody_guilty();
    die_with_connection(30, 6, 5);
    expect_nobody_guilty();
}

static void a_push_and_not_its_receiver_is_guilty(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        live();
        words_push(&words, 0, 4096);
        words_connection(&words, 30, 5);
        die(5);
    }
    assert_int_equal(grave_guilt(grave).position, 4096);
    assert_int_equal(grave_guilt(grave).fd, 0);
}

static void messages_are_set_aside_up_to_a_number(void **state)
{
    (void)state;
    poison_begin(&poison, build);
    assert_false(poison_has(&poison, 0, 0));
    for (uint32_t i = 1; i <= POISONS; i++) {
        poison_add(&poison, i, 10 + i);
        poison_add(&poison, i, 10 + i);
        assert_true(valid());
    }
    assert_int_equal(poison.added, POISONS);
    assert_true(poison_has(&poison, 1, 11));
    assert_false(poison_has(&poison, 1, 12));
    assert_true(poison_has_length(&poison, 12));
    assert_false(poison_has_length(&poison, 0));
    poison_add(&poison, 99, 99); /* the oldest makes room */
    assert_false(poison_has(&poison, 1, 11));
    assert_true(poison_has(&poison, 2, 12));
    assert_true(poison_has(&poison, 99, 99));
}

static void another_binary_gets_another_chance(void **state)
{
    (void)state;
    const uint8_t other[BUILD_ID_SIZE] = {4, 5, 6};
    poison_begin(&poison, build);
    poison_add(&poison, 1, 11);
    poison_begin(&poison, build);
    assert_true(poison_has(&poison, 1, 11));
    poison_begin(&poison, other);
    assert_false(poison_has(&poison, 1, 11));
    assert_int_equal(poison.added, 0);
}

static void only_so_many_pushes_are_skipped(void **state)
{
    (void)state;
    struct poison some = {0};
    for (int i = 0; i < SKIPS_MAX; i++)
        assert_true(poison_may_skip(&some, 1000));
    assert_false(poison_may_skip(&some, 1000));
    assert_false(poison_may_skip(&some, 1000 + SKIP_EVERY_MS - 1));
    assert_true(poison_may_skip(&some, 1000 + SKIP_EVERY_MS));
    assert_false(poison_may_skip(&some, 1000 + SKIP_EVERY_MS));
    for (int i = 0; i < SKIPS_MAX; i++)
        assert_true(poison_may_skip(&some, 1000 + 100 * SKIP_EVERY_MS));
    assert_false(poison_may_skip(&some, 1000 + 100 * SKIP_EVERY_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doings_have_names),
        cmocka_unit_test_setup(words_of_another_process_are_not_taken_for_its_own, begin),
        cmocka_unit_test_setup(a_push_is_guilty_of_two_deaths_and_not_of_one, begin),
        cmocka_unit_test_setup(another_place_or_source_is_another_push, begin),
        cmocka_unit_test_setup(bytes_that_cannot_be_read_are_told_from_a_push, begin),
        cmocka_unit_test_setup(a_message_is_known_by_its_bytes_on_any_connection, begin),
        cmocka_unit_test_setup(a_connection_is_guilty_if_the_second_died_young, begin),
        cmocka_unit_test(only_so_many_pushes_are_skipped),
        cmocka_unit_test_setup(a_push_and_not_its_receiver_is_guilty, begin),
        cmocka_unit_test_setup(messages_are_set_aside_up_to_a_number, begin),
        cmocka_unit_test_setup(another_binary_gets_another_chance, begin),
    };
    return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
