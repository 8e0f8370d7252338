/*
 * Connection records: every step of their life, interrupted steps, stale references, marks and
 * names.
 */
#include "shm/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CAPACITY = 32, WORKERS = 4 };

static struct conn table[CAPACITY];

static int clear_table(void **state)
{
    (void)state;
    memset(table, 0, sizeof(table));
    return 0;
}

static void expect(const struct conn *conn, uint32_t generation, uint32_t owner,
                   enum conn_state state)
{
    const uint64_t word = conn_word(conn);
    assert_int_equal(word_generation(word), generation);
    assert_int_equal(word_owner(word), owner);
    assert_int_equal(word_state(word), state);
    assert_true(conn_valid(conn, WORKERS));
}

static void set_user(struct conn *conn, const char *user)
{
    conn->user_len = (uint8_t)strlen(user);
    memcpy(conn->user, user, conn->user_len);
}

static void a_word_keeps_its_parts_apart(void **state)
{
    (void)state;
    const uint64_t word = word_make(0xfedcba98, 0xab, CONN_CLOSING, 0x1234);

    assert_int_equal(word, 0xfedcba98ab051234);
    assert_int_equal(word_generation(word), 0xfedcba98);
    assert_int_equal(word_owner(word), 0xab);
    assert_int_equal(word_state(word), CONN_CLOSING);
    assert_int_equal(word_flags(word), 0x1234);
    /* A value that is too large for its field does not overflow into the next. */
    assert_int_equal(word_make(1, 0x1ff, CONN_FREE, 0x10001), 0x00000001ff000001);
}

static void a_life_at_home(void **state)
{
    (void)state;
    struct conn *const conn = &table[7];

    expect(conn, 0, 0, CONN_FREE);
    const struct conn_ref ref = conn_claim(table, 7, 1, 1000);
    assert_int_equal(ref.fd, 7);
    assert_int_equal(ref.generation, 0);
    assert_int_equal(conn->since, 1000);
    assert_int_equal(conn->seen, 1000);
    expect(conn, 0, 1, CONN_HANDSHAKE);

    conn_set(conn, CONN_JSON);
    set_user(conn, "alice");
    expect(conn, 0, 1, CONN_HANDSHAKE);
    conn_give(conn, 3);
    expect(conn, 0, 3, CONN_MOVING);
    assert_true(conn_has(conn, CONN_JSON));

    conn_set_state(conn, CONN_SUBSCRIBING);
    expect(conn, 0, 3, CONN_SUBSCRIBING);
    conn_set(conn, CONN_INDEXED);
    expect(conn, 0, 3, CONN_SUBSCRIBING);
    conn_set_state(conn, CONN_OPEN);
    expect(conn, 0, 3, CONN_OPEN);
    conn_set(conn, CONN_CLOSE_IN);
    conn_clear(conn, CONN_INDEXED);
    conn_set_state(conn, CONN_CLOSING);
    expect(conn, 0, 3, CONN_CLOSING);
    assert_true(conn_has(conn, CONN_JSON));
    assert_false(conn_has(conn, CONN_INDEXED));

    conn_release(conn);
    expect(conn, 1, 0, CONN_FREE);
    assert_int_equal(conn_word(conn), UINT64_C(1) << 32);
}

static void a_life_as_echo(void **state)
{
    (void)state;
    struct conn *const conn = &table[9];

    conn_claim(table, 9, 0, 1);
    conn_set(conn, CONN_ECHO);
    expect(conn, 0, 0, CONN_HANDSHAKE);
    conn_set_state(conn, CONN_OPEN);
    expect(conn, 0, 0, CONN_OPEN);
    conn_set_state(conn, CONN_CLOSING);
    expect(conn, 0, 0, CONN_CLOSING);
    conn_release(conn);
    expect(conn, 1, 0, CONN_FREE);
}

static void a_refused_life(void **state)
{
    (void)state;
    conn_claim(table, 9, 0, 1);
    conn_set(&table[9], CONN_REFUSED);
    expect(&table[9], 0, 0, CONN_HANDSHAKE);
    conn_release(&table[9]);
    expect(&table[9], 1, 0, CONN_FREE);
}

/* One row for each state: the states that may follow it. Any other request changes nothing. */
static void no_state_is_left_but_by_the_table(void **state)
{
    (void)state;
    enum { F = 1, H = 2, M = 4, S = 8, O = 16, C = 32 };
    static const uint32_t next[] = {
        [CONN_FREE] = H,       [CONN_HANDSHAKE] = M | O | C | F,
        [CONN_MOVING] = S | F, [CONN_SUBSCRIBING] = S | O | C,
        [CONN_OPEN] = C,       [CONN_CLOSING] = F,
    };

    for (uint32_t from = CONN_FREE; from <= CONN_CLOSING; from++) {
        for (uint32_t to = CONN_FREE; to <= CONN_CLOSING; to++) {
            const bool may = next[from] >> to & 1;
            const uint64_t before = word_make(7, 2, (enum conn_state)from, CONN_JSON);
            atomic_store(&table[3].word, before);
            if (conn_may_become((enum conn_state)from, (enum conn_state)to) != may)
                fail_msg("from state %u to %u", from, to);
            assert_int_equal(conn_set_state(&table[3], (enum conn_state)to), may);
            if (!may)
                assert_int_equal(conn_word(&table[3]), before);
            else
                assert_int_equal(word_state(conn_word(&table[3])), to);
        }
    }
    assert_false(conn_may_become((enum conn_state)200, CONN_OPEN));
    assert_false(conn_may_become(CONN_OPEN, (enum conn_state)200));
}

/* Greeted and closed in one turn: the flush that sends the HELLO finds nothing to do. */
static void a_close_takes_the_greeting_away(void **state)
{
    (void)state;
    struct conn *const conn = &table[3];

    set_user(conn, "u");
    atomic_store(&conn->word, word_make(7, 2, CONN_SUBSCRIBING, CONN_INDEXED | CONN_GREETING));
    assert_true(conn_valid(conn, WORKERS));
    assert_true(conn_set_state(conn, CONN_CLOSING));
    assert_int_equal(word_flags(conn_word(conn)), CONN_INDEXED);
    assert_false(conn_set_state(conn, CONN_OPEN));
    expect(conn, 7, 2, CONN_CLOSING);
}

static void processes_that_live_together_are_told_apart(void **state)
{
    (void)state;
    static uint8_t seen[UINT16_MAX + 1];

    for (uint32_t incarnation = 1; incarnation <= 1000; incarnation++) {
        for (uint32_t worker = 0; worker < CONN_ON_THE_WAY; worker++) {
            const uint16_t process = conn_incarnation(worker, incarnation);
            assert_int_not_equal(process, 0);
            assert_int_equal(seen[process]++, 0);
        }
    }
    assert_int_equal(conn_incarnation(CONN_ON_THE_WAY - 1, 1023), 1);
    assert_int_not_equal(conn_incarnation(0, UINT32_MAX), 0);
}

static void a_claim_wipes_what_the_last_left(void **state)
{
    (void)state;
    struct conn *const conn = &table[5], blank = {0};

    memset((char *)conn + sizeof(conn->word), 0xee, sizeof(*conn) - sizeof(conn->word));
    atomic_store(&conn->word, word_make(41, 0, CONN_FREE, 0));
    assert_true(conn_valid(conn, WORKERS));
    assert_int_equal(conn_claim(table, 5, 2, 77).generation, 41);
    expect(conn, 41, 2, CONN_HANDSHAKE);
    blank.since = blank.seen = 77;
    assert_memory_equal(&conn->mark, &blank.mark, sizeof(blank) - sizeof(blank.word));
}

static void the_generation_wraps(void **state)
{
    (void)state;
    atomic_store(&table[5].word, word_make(UINT32_MAX, 0, CONN_FREE, 0));
    conn_claim(table, 5, 2, 77);
    conn_release(&table[5]);
    expect(&table[5], 0, 0, CONN_FREE);
}

static void stale_references_are_recognised(void **state)
{
    (void)state;
    const struct conn_ref ref = conn_claim(table, 11, 2, 1);

    assert_ptr_equal(conn_deref(table, CAPACITY, ref, 2), &table[11]);
    assert_null(conn_deref(table, CAPACITY, ref, 1));
    assert_null(conn_deref(table, 11, ref, 2));
    assert_null(conn_deref(table, CAPACITY, (struct conn_ref){UINT32_MAX, 0}, 2));
    assert_null(conn_deref(table, CAPACITY, (struct conn_ref){11, 1}, 2));
    /* The next record, which is free, has the same generation and, on worker 0, the same owner. */
    assert_null(conn_deref(table, CAPACITY, (struct conn_ref){12, 0}, 0));

    set_user(&table[11], "u");
    conn_give(&table[11], 3);
    assert_null(conn_deref(table, CAPACITY, ref, 2));
    assert_ptr_equal(conn_deref(table, CAPACITY, ref, 3), &table[11]);

    conn_release(&table[11]);
    assert_null(conn_deref(table, CAPACITY, ref, 3));
    const struct conn_ref next = conn_claim(table, 11, 3, 1);
    assert_null(conn_deref(table, CAPACITY, ref, 3));
    assert_ptr_equal(conn_deref(table, CAPACITY, next, 3), &table[11]);
}

/* A moving connection has no owner, and all state of the old owner is cleared. */
static void a_connection_goes_to_another_worker(void **state)
{
    (void)state;
    struct conn *const conn = &table[13];
    const struct conn_ref ref = conn_claim(table, 13, 1, 5);

    set_user(conn, "u");
    conn->incarnation = 4;
    conn->held = 9;
    conn->topics = 8;
    conn->next = 7;
    conn->mark = 6;
    conn_set(conn, CONN_INDEXED | CONN_WATCHED | CONN_WRITING | CONN_DIRTY | CONN_GIVEN);
    conn_set_state(conn, CONN_OPEN);
    conn_hand_on(conn, 3);
    assert_true(conn_valid(conn, WORKERS));
    for (uint32_t owner = 0; owner < WORKERS; owner++)
        assert_null(conn_deref(table, CAPACITY, ref, owner));
    assert_int_equal(conn->incarnation + conn->held + conn->topics + conn->next + conn->mark, 0);

    conn_take(conn, 1);
    assert_null(conn_deref(table, CAPACITY, ref, 1));
    conn_take(conn, 3);
    assert_ptr_equal(conn_deref(table, CAPACITY, ref, 3), conn);
    assert_int_equal(word_state(conn_word(conn)), CONN_OPEN);
    assert_int_equal(word_flags(conn_word(conn)), CONN_WRITING | CONN_DIRTY | CONN_GIVEN);
    conn_take(conn, 3);
    expect(conn, 0, 3, CONN_OPEN);
    assert_true(conn_set_state(conn, CONN_CLOSING));
    conn_release(conn);
}

static void what_nobody_has_is_reclaimed_once(void **state)
{
    (void)state;
    conn_claim(table, 11, 2, 1);
    const uint64_t used = conn_word(&table[11]);
    assert_false(conn_reclaim(&table[11], used));
    conn_release(&table[11]);
    assert_false(conn_reclaim(&table[11], used)); /* it was another's then */
    const uint64_t word = conn_word(&table[11]);
    assert_true(conn_reclaim(&table[11], word));
    assert_false(conn_reclaim(&table[11], word)); /* somebody else has */
    expect(&table[11], 2, 0, CONN_FREE);
    assert_int_equal(conn_claim(table, 11, 3, 1).generation, 2);
}

static void only_an_indexed_record_is_copied(void **state)
{
    (void)state;
    struct conn copy;

    conn_claim(table, 11, 2, 7);
    set_user(&table[11], "alice");
    assert_false(conn_copy(&copy, &table[11]));
    conn_give(&table[11], 2);
    conn_set_state(&table[11], CONN_SUBSCRIBING);
    conn_set(&table[11], CONN_INDEXED);
    assert_true(conn_copy(&copy, &table[11]));
    assert_int_equal(conn_word(&copy), conn_word(&table[11]));
    assert_memory_equal(&copy.mark, &table[11].mark, sizeof(copy) - sizeof(copy.word));
    conn_clear(&table[11], CONN_INDEXED);
    assert_true(conn_set_state(&table[11], CONN_CLOSING));
    conn_release(&table[11]);
    assert_false(conn_copy(&copy, &table[11]));
}

static void references_pack_for_epoll(void **state)
{
    (void)state;
    const struct conn_ref ref = {0x80000001, 0xfffffffe};
    const struct conn_ref back = conn_ref_unpack(conn_ref_pack(ref));

    assert_int_equal(back.fd, ref.fd);
    assert_int_equal(back.generation, ref.generation);
    atomic_store(&table[3].word, word_make(9, 1, CONN_OPEN, 0));
    assert_int_equal(conn_ref(table, &table[3]).fd, 3);
    assert_int_equal(conn_ref(table, &table[3]).generation, 9);
}

static struct conn record_in(enum conn_state state, uint32_t flags, const char *user)
{
    struct conn conn = {.incarnation = 1};
    set_user(&conn, user);
    atomic_store(&conn.word, word_make(1, state == CONN_FREE ? 0 : 1, state, flags));
    return conn;
}

/* Each row has the states in which one flag may be set, as a bit for each. */
static void each_state_allows_its_flags(void **state)
{
    (void)state;
    enum { F = 1, H = 2, M = 4, S = 8, O = 16, C = 32 };
    static const struct {
        uint32_t flag, states;
    } allowed[] = {
        {0, F | H | M | S | O | C},
        {CONN_JSON, H | M | S | O | C},
        {CONN_PINGED, H | M | S | O | C},
        {CONN_WRITING, H | M | S | O | C},
        {CONN_DIRTY, H | M | S | O | C},
        {CONN_UNIX, H | M | S | O | C},
        {CONN_WATCHED, H | M | S | O | C},
        {CONN_INDEXED, M | S | O | C},
        {CONN_REFUSED, H | C},
        {CONN_CLOSE_IN, S | O | C},
        {CONN_GREETING, S},
        {CONN_PROXY, H},
        {CONN_TRUSTED, H | M | S | O | C},
        {CONN_COUNTED, H | M | S | O | C},
        {CONN_ASKED, H},
        {CONN_GIVEN, H | M | S | O | C},
        {CONN_INDEXED | CONN_REFUSED, C},
        {CONN_REFUSED | CONN_CLOSE_IN, C},
    };

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        for (uint32_t s = CONN_FREE; s <= CONN_CLOSING; s++) {
            const struct conn conn = record_in((enum conn_state)s, allowed[i].flag, "bob");
            if (conn_valid(&conn, WORKERS) != ((allowed[i].states >> s & 1) != 0))
                fail_msg("flag %#x in state %u", allowed[i].flag, s);
        }
    }
}

static void each_state_needs_its_user(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags;
        const char *user;
        bool valid[CONN_CLOSING + 1]; /* HANDSHAKE, MOVING, SUBSCRIBING, OPEN, CLOSING */
    } rows[] = {
        {0, "bob", {0, true, true, true, true, true}},
        {0, "", {0, true, false, false, false, true}},
        {CONN_ECHO, "", {0, true, false, false, true, true}},
        {CONN_ECHO, "bob", {0, false, false, false, false, false}},
        {CONN_INDEXED, "", {0, false, false, false, false, false}},
        {CONN_ECHO | CONN_INDEXED, "", {0, false, false, false, false, false}},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint32_t s = CONN_HANDSHAKE; s <= CONN_CLOSING; s++) {
            const struct conn conn = record_in((enum conn_state)s, rows[i].flags, rows[i].user);
            if (conn_valid(&conn, WORKERS) != rows[i].valid[s])
                fail_msg("row %zu in state %u", i, s);
        }
    }
}

static void impossible_records_are_not_valid(void **state)
{
    (void)state;
    struct conn conn = record_in(CONN_OPEN, 0, "bob");
    assert_true(conn_valid(&conn, WORKERS));

    conn.user_len = USER_MAX + 1;
    assert_false(conn_valid(&conn, WORKERS));
    conn.user_len = USER_MAX;
    assert_true(conn_valid(&conn, WORKERS));
    atomic_store(&conn.word, word_make(1, WORKERS, CONN_OPEN, 0));
    assert_false(conn_valid(&conn, WORKERS));
    atomic_store(&conn.word, word_make(1, 0, (enum conn_state)(CONN_CLOSING + 1), 0));
    assert_false(conn_valid(&conn, WORKERS));
    atomic_store(&conn.word, word_make(1, 1, CONN_FREE, 0));
    assert_false(conn_valid(&conn, WORKERS));
}

static void private_bytes_name_their_process(void **state)
{
    (void)state;
    struct conn conn = record_in(CONN_OPEN, CONN_DIRTY, "bob");
    assert_true(conn_valid(&conn, WORKERS));
    conn.incarnation = 0;
    assert_false(conn_valid(&conn, WORKERS));
    conn_clear(&conn, CONN_DIRTY);
    assert_true(conn_valid(&conn, WORKERS));
    conn.held = 1;
    assert_false(conn_valid(&conn, WORKERS));
}

static void marks_tell_what_was_sent(void **state)
{
    (void)state;
    assert_false(conn_mark_seen(0, conn_mark(0, 0)));
    assert_true(conn_mark_seen(conn_mark(0, 100), conn_mark(0, 100)));
    assert_true(conn_mark_seen(conn_mark(0, 100), conn_mark(0, 99)));
    assert_false(conn_mark_seen(conn_mark(0, 100), conn_mark(0, 101)));
    assert_false(conn_mark_seen(conn_mark(1, 100), conn_mark(0, 99)));
    assert_false(conn_mark_seen(conn_mark(0, 100), conn_mark(1, 99)));
    assert_true(conn_mark_seen(conn_mark(64, 100), conn_mark(64, 100)));
}

static void names_are_as_documented(void **state)
{
    (void)state;
    char name[CONN_NAME_MAX];

    assert_int_equal(conn_name(name, 0xabc, (struct conn_ref){0x1f, 0}), 8);
    assert_string_equal(name, "abc-1f-0");
    assert_int_equal(conn_name(name, UINT32_MAX, (struct conn_ref){UINT32_MAX, UINT32_MAX}), 26);
    assert_string_equal(name, "ffffffff-ffffffff-ffffffff");
}

static void names_go_round(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {0, 1, 9, 10, 15, 16, 255, 65536, 0x7fffffff, UINT32_MAX};
    enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };

    for (size_t i = 0; i < (size_t)COUNT * COUNT * COUNT; i++) {
        const uint32_t boot = numbers[i % COUNT];
        const struct conn_ref ref = {numbers[i / COUNT % COUNT], numbers[i / COUNT / COUNT]};
        char name[CONN_NAME_MAX];
        struct conn_ref back;
        uint32_t back_boot;
        const size_t len = conn_name(name, boot, ref);

        assert_true(conn_name_parse(name, len, &back_boot, &back));
        assert_int_equal(back_boot, boot);
        assert_int_equal(back.fd, ref.fd);
        assert_int_equal(back.generation, ref.generation);
        for (size_t cut = 0; cut < len; cut++) {
            /* A truncated name is that of another connection or invalid, but never this one's. */
            if (conn_name_parse(name, cut, &back_boot, &back))
                assert_int_not_equal(back.generation, ref.generation);
        }
    }
}

static void malformed_names_are_refused(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "",
        "-",
        "--",
        "1",
        "1-",
        "1-2",
        "1-2-",
        "-1-2-3",
        "1--2-3",
        "1-2--3",
        "1-2-3-",
        "1-2-3-4",
        " 1-2-3",
        "1-2-3 ",
        "1 -2-3",
        "+1-2-3",
        "0x1-2-3",
        "A-2-3",
        "1-B-3",
        "1-2-C",
        "g-2-3",
        "01-2-3",
        "1-02-3",
        "1-2-03",
        "00-2-3",
        "1-2-00",
        "1-2_3",
        "1.2.3",
        "100000000-2-3",
        "1-100000000-3",
        "1-2-100000000",
        "1-2-3\n",
        "\xc3\xa9-2-3",
    };
    uint32_t boot;
    struct conn_ref ref;

    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        if (conn_name_parse(malformed[i], strlen(malformed[i]), &boot, &ref))
            fail_msg("\"%s\" was taken for a name", malformed[i]);
    }
    assert_false(conn_name_parse("1-2-3", 6, &boot, &ref)); /* a NUL is no digit */
    assert_true(conn_name_parse("1-2-3-", 5, &boot, &ref)); /* the length counts */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_keeps_its_parts_apart),
        cmocka_unit_test_setup(a_life_at_home, clear_table),
        cmocka_unit_test_setup(a_life_as_echo, clear_table),
        cmocka_unit_test_setup(a_refused_life, clear_table),
        cmocka_unit_test_setup(no_state_is_left_but_by_the_table, clear_table),
        cmocka_unit_test_setup(a_close_takes_the_greeting_away, clear_table),
        cmocka_unit_test_setup(processes_that_live_together_are_told_apart, clear_table),
        cmocka_unit_test_setup(a_claim_wipes_what_the_last_left, clear_table),
        cmocka_unit_test_setup(the_generation_wraps, clear_table),
        cmocka_unit_test_setup(stale_references_are_recognised, clear_table),
        cmocka_unit_test_setup(a_connection_goes_to_another_worker, clear_table),
        cmocka_unit_test_setup(what_nobody_has_is_reclaimed_once, clear_table),
        cmocka_unit_test_setup(only_an_indexed_record_is_copied, clear_table),
        cmocka_unit_test_setup(references_pack_for_epoll, clear_table),
        cmocka_unit_test(each_state_allows_its_flags),
        cmocka_unit_test(each_state_needs_its_user),
        cmocka_unit_test(impossible_records_are_not_valid),
        cmocka_unit_test(private_bytes_name_their_process),
        cmocka_unit_test(marks_tell_what_was_sent),
        cmocka_unit_test(names_are_as_documented),
        cmocka_unit_test(names_go_round),
        cmocka_unit_test(malformed_names_are_refused),
    };
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
