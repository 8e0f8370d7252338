/* Worker slots: the latch, the descriptors recorded for a death, the names, and validity. */
#include "shm/slot.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/segment.h"

enum { CAPACITY = 1000 };

static struct slot slot;

static int begin(void **state)
{
    (void)state;
    memset(&slot, 0, sizeof(slot));
    slot.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return slot.event_fd > 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    return close(slot.event_fd);
}

static bool readable(void)
{
    struct pollfd poll_fd = {.fd = slot.event_fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static void only_a_sleeper_is_woken(void **state)
{
    (void)state;
    assert_false(latch_wake(&slot));
    assert_false(readable());
    latch_rest(&slot);
    assert_false(readable());
    assert_true(latch_wake(&slot));
    assert_true(readable());
    latch_rise(&slot);
    latch_drain(&slot);
    assert_false(readable());
    assert_false(latch_wake(&slot));
    assert_false(readable());
}

static void many_wakers_make_one_wake_up(void **state)
{
    (void)state;
    latch_rest(&slot);
    for (int i = 0; i < 5; i++)
        assert_true(latch_wake(&slot));
    latch_rise(&slot);
    assert_true(readable());
    latch_drain(&slot);
    assert_false(readable());
    latch_drain(&slot); /* an empty one does not block */
}

static void a_wake_up_before_the_sleep_is_kept(void **state)
{
    (void)state;
    latch_rest(&slot);
    latch_wake(&slot);
    latch_rise(&slot);
    latch_rest(&slot); /* the next turn, before it has read the eventfd */
    assert_true(readable());
}

static void a_full_eventfd_is_readable_all_the_same(void **state)
{
    (void)state;
    const uint64_t most = UINT64_MAX - 1;

    assert_int_equal(write(slot.event_fd, &most, sizeof(most)), sizeof(most));
    latch_rest(&slot);
    assert_false(latch_wake(&slot));
    assert_true(readable());
}

static uint32_t noted(int fd)
{
    uint32_t count = 0;
    for (size_t i = 0; i < SLOT_AUX_MAX; i++)
        count += atomic_load(&slot.aux[i].fd) == fd;
    return count;
}

static void descriptors_are_noted_and_forgotten(void **state)
{
    const int places = 16; /* SLOT_AUX_LINK */
    (void)state;
    for (int fd = 1; fd <= places; fd++) {
        assert_int_equal(slot_aux_count(&slot, SLOT_AUX_LINK), fd - 1);
        assert_int_equal(slot_aux_add(&slot, SLOT_AUX_LINK, fd, 1000u + (uint32_t)fd), 0);
        assert_int_equal(noted(fd), 1);
        assert_true(slot_aux_has(&slot, fd, 1000u + (uint32_t)fd));
        assert_false(slot_aux_has(&slot, fd, 1000));
        assert_true(slot_valid(&slot, CAPACITY));
    }
    assert_int_equal(slot_aux_add(&slot, SLOT_AUX_LINK, 100, 7), -1);
    assert_int_equal(noted(100), 0);
    slot_aux_remove(&slot, 100); /* was never noted */
    slot_aux_remove(&slot, 7);
    assert_int_equal(noted(7), 0);
    assert_int_equal(noted(0), SLOT_AUX_MAX - places + 1);
    assert_int_equal(slot_aux_add(&slot, SLOT_AUX_LINK, 100, 7), 0);
    assert_int_equal(noted(100), 1);
    for (int fd = 1; fd <= 100; fd++)
        slot_aux_remove(&slot, fd);
    assert_int_equal(noted(0), SLOT_AUX_MAX);
}

/* Admin clients once took all places, and none was left for a link to Redis. */
static void no_use_takes_the_places_of_another(void **state)
{
    int visitors = 0, links = 0;
    (void)state;
    while (slot_aux_add(&slot, SLOT_AUX_VISITOR, 1 + visitors, 5) == 0)
        visitors++;
    while (slot_aux_add(&slot, SLOT_AUX_LINK, 101 + links, 5) == 0)
        links++;
    assert_true(visitors > 0 && links > 0);
    assert_int_equal(visitors + links, SLOT_AUX_MAX);
    assert_int_equal(slot_aux_count(&slot, SLOT_AUX_VISITOR), visitors);
    assert_int_equal(slot_aux_count(&slot, SLOT_AUX_LINK), links);
    slot_aux_remove(&slot, 1);
    assert_int_equal(slot_aux_add(&slot, SLOT_AUX_LINK, 300, 5), -1);
    assert_int_equal(slot_aux_add(&slot, SLOT_AUX_VISITOR, 300, 5), 0);
    assert_true(slot_valid(&slot, CAPACITY));
}

static void users_who_are_gone_are_noted_until_there_is_no_room(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SLOT_GONE_MAX; i++)
        assert_true(slot_gone_add(&slot, "somebody", i % 8 + 1));
    assert_false(slot_gone_add(&slot, "one too many", 12));
    assert_int_equal(slot.gone.count, SLOT_GONE_MAX);
    assert_int_equal(slot.gone.at[6].len, 7);
    assert_memory_equal(slot.gone.at[6].user, "somebod", 7);
    slot_gone_clear(&slot);
    assert_true(slot_gone_add(&slot, "again", 5));
    assert_int_equal(slot.gone.count, 1);
    slot_gone_clear(&slot);
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(link_state_name(LINK_DOWN), "down");
    assert_string_equal(link_state_name(LINK_CONNECTING), "connecting");
    assert_string_equal(link_state_name(LINK_UP), "up");
    assert_string_equal(link_state_name((enum link_state)(LINK_UP + 1)), "unknown");
}

/* A slot with a running worker and data in every part. */
static void fill(void)
{
    slot.pid = 4711;
    slot.incarnation = 2;
    slot.command = SLOT_DRAIN;
    slot.epoll_fd = 8;
    slot.connections = 20;
    slot.ready_users = 19;
    slot.high = CAPACITY;
    slot.handing = CAPACITY - 1;
    slot.users.count = 19;
    slot.users.buckets = CAPACITY;
    slot.link.state = LINK_UP;
    slot.link.fd = 9;
    slot.link.batch_sent = 5;
    slot.link.batch_confirmed = 5;
    slot.link.in = (struct stream){.start = 5000, .end = 5100, .base = 4000};
    slot.words.doing = DOING_SWEEPING;
}

static void each_part_of_a_slot_is_checked(void **state)
{
    (void)state;
    assert_true(slot_valid(&slot, CAPACITY)); /* new, without a worker */
    fill();
    assert_true(slot_valid(&slot, CAPACITY));
    const struct slot good = slot;
#define EXPECT(validity, field, value)                           \
    do {                                                         \
        slot.field = (value);                                    \
        assert_int_equal(slot_valid(&slot, CAPACITY), validity); \
        slot = good;                                             \
    } while (0)
    EXPECT(false, pid, -1);
    EXPECT(false, incarnation, 0);
    EXPECT(false, command, SLOT_STOP + 1);
    EXPECT(false, epoll_fd, 0);
    EXPECT(false, epoll_fd, CAPACITY);
    EXPECT(false, event_fd, -1);
    EXPECT(false, sleeping, 2);
    EXPECT(true, connections, CAPACITY);
    EXPECT(false, connections, CAPACITY + 1);
    EXPECT(false, ready_users, CAPACITY + 1);
    EXPECT(false, high, CAPACITY + 1);
    EXPECT(false, handing, CAPACITY);
    EXPECT(false, node_state, 3);
    EXPECT(false, drained, 2);
    EXPECT(false, commands_up, 2);
    EXPECT(false, users.count, CAPACITY + 1);
    EXPECT(false, users.buckets, CAPACITY + 1);
    EXPECT(false, link.state, LINK_UP + 1);
    EXPECT(true, link.fd, 0);
    EXPECT(false, link.fd, -2);
    EXPECT(false, link.fd, CAPACITY);
    EXPECT(false, link.receiving, 2);
    EXPECT(false, link.sending, 2);
    EXPECT(false, link.behind, 2);
    EXPECT(true, in_hand, WORKERS_MAX + 1);
    EXPECT(false, in_hand, WORKERS_MAX + 2);
    EXPECT(false, gone.count, SLOT_GONE_MAX + 1);
    EXPECT(false, gone.count, 1); /* whose name has no length */
    EXPECT(false, link.batch_confirmed, 6);
    EXPECT(false, link.in.base, 5101);
    EXPECT(false, link.out.base, 1);
    EXPECT(false, aux[SLOT_AUX_MAX - 1].fd, -1);
    EXPECT(false, aux[0].fd, CAPACITY);
    EXPECT(false, aux[0].use, SLOT_AUX_USE_COUNT);
    EXPECT(false, words.doing, DOING_SWEEPING + 1);
    EXPECT(false, fault.frames, FAULT_FRAMES + 1);
    EXPECT(false, grave[1].incarnation, 1);
    EXPECT(false, grave[0].doing, DOING_SWEEPING + 1);
    EXPECT(false, grave[0].message, 1);
    EXPECT(false, poison.message[1].len, 1);
#undef EXPECT
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_a_sleeper_is_woken, begin, end),
        cmocka_unit_test_setup_teardown(many_wakers_make_one_wake_up, begin, end),
        cmocka_unit_test_setup_teardown(a_wake_up_before_the_sleep_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_full_eventfd_is_readable_all_the_same, begin, end),
        cmocka_unit_test_setup_teardown(descriptors_are_noted_and_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(no_use_takes_the_places_of_another, begin, end),
        cmocka_unit_test_setup_teardown(users_who_are_gone_are_noted_until_there_is_no_room, begin,
                                        end),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test_setup_teardown(each_part_of_a_slot_is_checked, begin, end),
    };
    return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
