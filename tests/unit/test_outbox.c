/*
 * The outbox with real sockets, while its upward calls are only recorded: when a send may end a
 * connection, and how the record changes on the way.
 */
#include "worker/outbox.h"

#include "worker/client.h"
#include "worker/hold.h"
#include "worker/home.h"
#include "worker/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { CAPACITY = 128, FIRST = 100, CONNS = 2, OWNER = 1, PAYLOAD = 1000 };

static struct conn table[CAPACITY];
static uint32_t sent[CAPACITY];
static _Atomic uint64_t backlog[CAPACITY];
static const struct config config = {.log_level = CONFIG_LOG_INFO};
static struct slot slot;
static struct stats stats;
static struct segment segment = {.sent = sent, .backlog = backlog};
static struct worker worker = {
    .config = &config,
    .segment = &segment,
    .table = table,
    .capacity = CAPACITY,
    .id = OWNER,
    .slot = &slot,
    .stats = &stats,
};
static int peer[CONNS];

/* The calls of the outbox since the last check. */
static struct {
    int ended, backlogged, flushed, greeted;
} calls;

void client_end(struct worker *w, struct conn *conn, enum closed_reason reason)
{
    (void)reason;
    calls.ended++;
    conn_set_state(conn, CONN_CLOSING);
    outbox_forget(w, conn);
    hold_drop(w, conn);
    conn_release(conn);
}

void client_backlogged(struct worker *w, struct conn *conn)
{
    (void)w, (void)conn;
    calls.backlogged++;
}

void client_caught_up(struct worker *w, struct conn *conn)
{
    (void)w, (void)conn;
}

void client_flushed(struct worker *w, struct conn *conn)
{
    (void)w, (void)conn;
    calls.flushed++;
}

void home_greeted(struct worker *w, struct conn *conn)
{
    (void)w;
    calls.greeted++;
    conn_set_state(conn, CONN_OPEN);
}

void trace_delivery(const struct worker *w, const struct conn *conn, uint64_t mark,
                    const char *outcome)
{
    (void)w, (void)conn, (void)mark, (void)outcome;
}

static struct conn *conn_at(int i)
{
    return &worker.table[FIRST + i];
}

static int begin(void **state)
{
    (void)state;
    if (!worker.outbox) { /* a worker has them for life */
        worker.incarnation = conn_incarnation(OWNER, 1);
        worker.holds = holds_new();
        worker.outbox = outbox_new(PAYLOAD);
    }
    memset(table, 0, sizeof(table));
    memset(&calls, 0, sizeof(calls));
    for (int i = 0; i < CONNS; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == -1 ||
            dup2(pair[0], FIRST + i) == -1)
            return -1;
        close(pair[0]);
        peer[i] = pair[1];
        conn_claim(worker.table, (uint32_t)(FIRST + i), OWNER, 1);
        conn_at(i)->user_len = 1;
        conn_set_state(conn_at(i), CONN_OPEN);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < CONNS; i++) {
        hold_drop(&worker, conn_at(i));
        close(FIRST + i);
        close(peer[i]);
    }
    return 0;
}

/* Gives the connection a frame of this many bytes. */
static void give(int i, size_t len)
{
    static const uint8_t bytes[PAYLOAD];
    outbox_reserve(&worker, len);
    outbox_add(&worker, conn_at(i), outbox_bytes(&worker, bytes, len));
}

/* Asks for room until waiting bytes have been sent to make it. */
static void make_room(void)
{
    const uint64_t sends = atomic_load(&worker.stats->sends);
    static const uint8_t bytes[PAYLOAD];
    while (atomic_load(&worker.stats->sends) == sends) {
        outbox_reserve(&worker, PAYLOAD);
        outbox_bytes(&worker, bytes, PAYLOAD);
    }
}

/* Its peer does not read, and it accepts no more bytes. */
static void fill_socket(int i)
{
    static const uint8_t bytes[65536];
    while (send(FIRST + i, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
}

static void what_fails_while_room_is_made_ends_with_the_turn(void **state)
{
    (void)state;
    const struct conn_ref ref = conn_ref(worker.table, conn_at(0));
    give(0, 10);
    give(1, 10);
    shutdown(peer[0], SHUT_RD); /* sends fail with EPIPE */
    make_room();
    assert_int_equal(calls.ended, 0);
    assert_ptr_equal(conn_deref(worker.table, CAPACITY, ref, OWNER), conn_at(0));
    give(0, 10); /* the code that is handling it continues */
    outbox_flush(&worker);
    assert_int_equal(calls.ended, 1);
    assert_null(conn_deref(worker.table, CAPACITY, ref, OWNER));
    outbox_flush(&worker);
    assert_int_equal(calls.ended, 1);
}

static void a_backlog_that_room_was_made_by_is_judged_at_the_end_of_the_turn(void **state)
{
    (void)state;
    fill_socket(0);
    give(0, 10);
    make_room();
    assert_int_equal(hold_find(&worker, conn_at(0))->count, 1);
    assert_int_equal(calls.backlogged, 0);
    outbox_flush(&worker);
    assert_int_equal(calls.backlogged, 1);
    assert_int_equal(calls.ended, 0);
}

static void a_connection_that_is_read_stays_dirty_while_room_is_made(void **state)
{
    (void)state;
    hold_mark(&worker, conn_at(0));
    give(0, 10);
    make_room();
    assert_true(conn_has(conn_at(0), CONN_DIRTY));
    assert_int_equal(calls.flushed, 0);
    outbox_flush(&worker);
    assert_false(conn_has(conn_at(0), CONN_DIRTY));
    assert_int_equal(calls.flushed, 1);
}

static void a_hello_that_waits_ends_nobody(void **state)
{
    (void)state;
    const struct push_terms push = {.mark = 1};
    conn_publish(conn_at(0), word_make(0, OWNER, CONN_SUBSCRIBING, 0));
    outbox_add(&worker, conn_at(0),
               outbox_push(&worker, &(struct message){.op = 110}, false, &push));
    outbox_flush(&worker); /* it waits for HELLO */
    calls.backlogged = 0;
    conn_set(conn_at(0), CONN_GREETING);
    outbox_greet(&worker, conn_at(0),
                 outbox_message(&worker, &(struct message){.op = OP_HELLO}, false));
    assert_int_equal(calls.greeted, 1);
    assert_int_equal(calls.backlogged, 0);
    outbox_flush(&worker);
    assert_int_equal(calls.backlogged, 1);
}

static void what_is_lost_is_looked_at_and_not_claimed(void **state)
{
    (void)state;
    const uint16_t dead = conn_incarnation(OWNER, 9);
    conn_at(0)->incarnation = dead;
    conn_at(0)->held = 7;
    conn_set(conn_at(0), CONN_DIRTY);
    const frame_id frame = outbox_bytes(&worker, "x", 1);
    assert_false(outbox_ends_with(&worker, conn_at(0), frame));
    outbox_add(&worker, conn_at(0), frame);
    assert_false(outbox_ends_with(&worker, conn_at(0), frame));
    assert_true(hold_lost(&worker, conn_at(0)));
    assert_int_equal(conn_at(0)->incarnation, dead);
    outbox_flush(&worker);
    assert_int_equal(recv(peer[0], &(char){0}, 1, MSG_DONTWAIT), -1);
}

/* Damage, or a fault elsewhere: `held` refers to the data of another connection. */
static void what_is_kept_for_one_connection_is_not_taken_for_anothers(void **state)
{
    (void)state;
    uint8_t got[32];
    give(0, 10);
    conn_at(1)->incarnation = worker.incarnation;
    conn_at(1)->held = conn_at(0)->held;
    give(1, 20);
    outbox_flush(&worker);
    assert_int_equal(recv(peer[0], got, sizeof(got), MSG_DONTWAIT), 10);
    assert_int_equal(recv(peer[1], got, sizeof(got), MSG_DONTWAIT), 20);

    const struct hold *hold = hold_get(&worker, conn_at(0));
    conn_at(1)->held = conn_at(0)->held;
    assert_null(hold_find(&worker, conn_at(1)));
    give(1, 30);
    outbox_flush(&worker);
    assert_int_equal(recv(peer[1], got, sizeof(got), MSG_DONTWAIT), 30);
    assert_ptr_equal(hold_find(&worker, conn_at(0)), hold);
    conn_at(1)->held = HELD | 12345;
    assert_null(hold_find(&worker, conn_at(1)));
    assert_ptr_not_equal(hold_get(&worker, conn_at(1)), hold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_fails_while_room_is_made_ends_with_the_turn, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            a_backlog_that_room_was_made_by_is_judged_at_the_end_of_the_turn, begin, end),
        cmocka_unit_test_setup_teardown(a_connection_that_is_read_stays_dirty_while_room_is_made,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_hello_that_waits_ends_nobody, begin, end),
        cmocka_unit_test_setup_teardown(what_is_lost_is_looked_at_and_not_claimed, begin, end),
        cmocka_unit_test_setup_teardown(what_is_kept_for_one_connection_is_not_taken_for_anothers,
                                        begin, end),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
