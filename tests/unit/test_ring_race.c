/*
 * Rings with both ends running at once: two threads that sleep on the latch, their narrowest race
 * windows, and a producer that is killed at random moments.
 */
#include "shm/ring.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "shm/slot.h"
#include "tests/unit/ring_fixture.h"

/*
 * Two threads, each with its own slot, like two workers. A lost wake-up leaves both asleep, which
 * the time limit of the poll detects.
 */
enum { STRESS_ENTRIES = 1000000, STUCK_MS = 10000 };
static struct slot *producer_slot(void)
{
    return &segment.slot[0];
}
static struct slot *consumer_slot(void)
{
    return &segment.slot[1];
}

static uint64_t microseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Blocks until the slot is woken. Returns false if it is not. */
static bool sleep_on(const struct slot *slot)
{
    struct pollfd poll_fd = {.fd = slot->event_fd, .events = POLLIN};

    if (poll(&poll_fd, 1, STUCK_MS) != 1)
        return false;
    latch_drain(slot);
    return true;
}

static uint32_t stress_len(uint64_t number)
{
    return (uint32_t)(number * 0x9e3779b97f4a7c15 >> 56) % 100;
}

static void publish_and_wake(struct ring *ring)
{
    if (ring_publish(ring))
        latch_wake(consumer_slot());
}

/* Makes sure that an entry of `len` bytes fits, in the steps of a worker's turns. */
static bool wait_for_room(struct ring *ring, uint32_t len)
{
    bool alive = true;

    while (!ring_fits(ring, len) && alive) {
        ring_end_wish(ring);
        publish_and_wake(ring);
        if (ring_want_room(ring, len))
            return true;
        latch_rest(producer_slot());
        alive = ring_room_made(ring) || sleep_on(producer_slot());
        latch_rise(producer_slot());
    }
    return alive;
}

/* Returns NULL, or what went wrong. */
static void *produce(void *unused)
{
    (void)unused;
    struct ring ring;

    ring_attach(&ring, control, bytes, size);
    for (uint64_t number = 1; number <= STRESS_ENTRIES; number++) {
        if (!wait_for_room(&ring, stress_len(number)))
            return "the producer slept for ever";
        if (!put(&ring, number, stress_len(number)))
            return "no room where room was promised";
        if (number % 7 == 0 || number == STRESS_ENTRIES)
            publish_and_wake(&ring);
    }
    return NULL;
}

static const char *consume(void)
{
    uint64_t number = 0;

    while (number < STRESS_ENTRIES) {
        const struct ring_entry *entry;
        while ((entry = ring_take(&consumer, NULL)) != NULL) {
            number++;
            if (entry->size != stress_len(number) || !is_entry(entry, number))
                return "an entry is damaged";
        }
        if (ring_commit(&consumer))
            latch_wake(producer_slot());
        latch_rest(consumer_slot());
        if (number < STRESS_ENTRIES && !ring_ready(&consumer) && !sleep_on(consumer_slot()))
            return "the consumer slept for ever";
        latch_rise(consumer_slot());
    }
    return NULL;
}

static void two_threads_lose_no_entry(void **state)
{
    (void)state;
    const char *consumer_error;
    void *producer_error;
    pthread_t thread;

    producer_slot()->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    consumer_slot()->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(pthread_create(&thread, NULL, produce, NULL), 0);
    consumer_error = consume();
    assert_int_equal(pthread_join(thread, &producer_error), 0);
    if (consumer_error != NULL || producer_error != NULL)
        fail_msg("%s, %s", consumer_error, (const char *)producer_error);
    assert_true(ring_valid(&consumer));
    assert_false(ring_ready(&consumer));
    close(producer_slot()->event_fd);
    close(consumer_slot()->event_fd);
}

/*
 * The same two promises at their narrowest: in every round both threads do their half at the same
 * moment, and at least one of them must see the other's. Without the barriers, both miss it a few
 * times in a hundred thousand rounds.
 */
enum { ROUNDS = 300000, ROUNDS_US = 3000000 }; /* whichever is over first */
static _Atomic uint32_t arrived[2];
static _Atomic bool over;
static _Atomic bool granted, woken; /* what the producer saw */

static void meet(unsigned self)
{
    const uint32_t round = atomic_fetch_add(&arrived[self], 1) + 1;

    for (uint32_t spins = 1; atomic_load(&arrived[!self]) < round; spins++) {
        if (spins % 4096 == 0)
            sched_yield();
    }
}

/* Varies the time offset between the two threads. */
static void dawdle(uint32_t round)
{
    for (volatile uint32_t i = round * 0x9e3779b9 >> 27; i > 0; i--)
        continue;
}

static void *produce_in_rounds(void *unused)
{
    const uint32_t len = ring_entry_max(&producer);

    for (uint32_t round = 1;; round++) {
        meet(0);
        if (atomic_load(&over))
            return unused;
        dawdle(round);
        ring_end_wish(&producer);
        const bool fits = ring_want_room(&producer, len);
        latch_rest(producer_slot());
        atomic_store(&granted, fits || ring_room_made(&producer));
        meet(0);
        latch_rise(producer_slot());
        ring_reserve(&producer, round, 0, len);
        meet(0);
        dawdle(round);
        ring_publish(&producer);
        atomic_store(&woken, latch_wake(consumer_slot()));
        meet(0);
    }
}

static void of_two_at_once_one_sees_the_other(void **state)
{
    (void)state;
    uint32_t rooms_missed = 0, entries_missed = 0;
    pthread_t thread;

    consumer_slot()->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ring_reserve(&producer, 0, 0, ring_entry_max(&producer));
    ring_publish(&producer);
    assert_int_equal(pthread_create(&thread, NULL, produce_in_rounds, NULL), 0);
    const uint64_t until = microseconds() + ROUNDS_US;
    for (uint32_t round = 1; round <= ROUNDS && microseconds() < until; round++) {
        ring_take(&consumer, NULL);
        meet(1);
        dawdle(round * 3);
        const bool asked = ring_commit(&consumer);
        meet(1);
        rooms_missed += !asked && !atomic_load(&granted);
        meet(1);
        dawdle(round * 3);
        latch_rest(consumer_slot());
        const bool ready = ring_ready(&consumer);
        meet(1);
        entries_missed += !ready && !atomic_load(&woken);
        latch_rise(consumer_slot());
        latch_drain(consumer_slot());
    }
    atomic_store(&over, true);
    meet(1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(rooms_missed, 0);
    assert_int_equal(entries_missed, 0);
    close(consumer_slot()->event_fd);
}

/*
 * A producer at full speed that is killed. Like a worker it continues from its recorded progress
 * (`input`, which lags behind), and skips the entries that were already published.
 */
static _Atomic uint64_t *input;

static void produce_until_killed(uint64_t seed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_state = seed;
    ring_attach(&producer, control, bytes, size);
    for (uint64_t number = atomic_load(input) + 1;; number++) {
        while (!ring_published_before(&producer, number) && !put(&producer, number, draw(200)))
            ring_publish(&producer);
        if (draw(4) == 0) {
            ring_publish(&producer);
            atomic_store(input, number);
        }
    }
}

/* Takes and commits all entries; each has to follow the one before. */
static void consume_in_order(uint64_t *number)
{
    const struct ring_entry *entry;

    while ((entry = ring_take(&consumer, NULL)) != NULL) {
        if (!is_entry(entry, ++*number))
            fail_msg("%llu came where %llu was due", (unsigned long long)entry->origin,
                     (unsigned long long)*number);
    }
    ring_commit(&consumer);
}

static void a_killed_producer_leaves_whole_entries(void **state)
{
    (void)state;
    uint64_t number = 0;

    input = mmap(NULL, sizeof(*input), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(input, MAP_FAILED);
    for (uint32_t round = 0; round < 200; round++) {
        const uint64_t before = number, until = microseconds() + draw(2000);
        const pid_t child = fork();
        assert_int_not_equal(child, -1);
        if (child == 0)
            produce_until_killed(1 + draw(UINT32_MAX - 1) + round);
        do
            consume_in_order(&number);
        while (microseconds() < until || number == before);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_true(ring_valid(&consumer));
        consume_in_order(&number);
        assert_true(atomic_load(input) <= number);
        assert_false(ring_ready(&consumer));
    }
    assert_int_equal(munmap(input, sizeof(*input)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_threads_lose_no_entry, begin, end),
        cmocka_unit_test_setup_teardown(of_two_at_once_one_sees_the_other, begin, end),
        cmocka_unit_test_setup_teardown(a_killed_producer_leaves_whole_entries, begin, end),
    };
    return cmocka_run_group_tests_name("ring_race", tests, NULL, NULL);
}
