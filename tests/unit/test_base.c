/* The event base of a slot: newly created, and made around an epoll set from before an upgrade. */
#include "master/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static struct slot slot;
static int client; /* registered in the slot's epoll set */

static int begin(void **state)
{
    (void)state;
    slot.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    slot.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(slot.epoll_fd, EPOLL_CTL_ADD, client, &event);
}

static int end(void **state)
{
    (void)state;
    close(client);
    close(slot.event_fd);
    close(slot.epoll_fd);
    return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    ++*(int *)arg;
}

static void forget(struct base *base)
{
    event_free(base->quiet);
    event_base_free(base->event_base);
}

/* The number of events that the base gets from the slot's set in one turn. */
static int turns(struct base *base)
{
    int count = 0;
    struct event *event =
        event_new(base->event_base, slot.epoll_fd, EV_READ | EV_PERSIST, on_readable, &count);
    event_add(event, NULL);
    event_base_loop(base->event_base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    event_free(event);
    return count;
}

static void assert_works(struct base *base)
{
    assert_int_equal(turns(base), 0);
    assert_int_equal(eventfd_write(client, 1), 0);
    assert_int_equal(turns(base), 1);
    eventfd_t ignored;
    eventfd_read(client, &ignored);
    assert_int_equal(turns(base), 0);
}

static void one_made_anew_hears_of_clients(void **state)
{
    (void)state;
    struct base base;
    assert_int_equal(base_open(&base, &slot, -1), 0);
    assert_true(base_is_around(base.set, &slot));
    assert_works(&base);
    forget(&base);
}

/* The events of the master's own registration wake no worker. */
static void until_a_worker_reads_it_is_quiet(void **state)
{
    (void)state;
    struct base base;
    struct epoll_event event;
    assert_int_equal(base_open(&base, &slot, -1), 0);
    assert_int_equal(eventfd_write(client, 1), 0);
    assert_int_equal(epoll_wait(base.set, &event, 1, 0), 0);
    forget(&base);
}

/* True if `fd` is registered in an epoll set, by proc_pid_fdinfo(5). */
static bool watches(int set, int fd)
{
    char path[64], line[256];
    int found = -1;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", set);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (found != fd && fgets(line, sizeof(line), file))
        sscanf(line, "tfd: %d", &found); /* NOLINT(cert-err34-c): the kernel writes numbers */
    fclose(file);
    return found == fd;
}

/* The set of an earlier version, which had also registered `fd`. */
static int left_behind(int fd)
{
    struct base old;
    struct epoll_event event = {.events = EPOLLIN};
    assert_int_equal(base_open(&old, &slot, -1), 0);
    assert_int_equal(epoll_ctl(old.set, EPOLL_CTL_ADD, fd, &event), 0);
    const int kept = fcntl(old.set, F_DUPFD_CLOEXEC, 0);
    const int other = epoll_create1(EPOLL_CLOEXEC);
    dup3(other, old.set, O_CLOEXEC); /* from which libevent may take any number */
    close(other);
    forget(&old);
    return kept;
}

static void a_carried_set_is_what_libevent_waits_on(void **state)
{
    (void)state;
    struct base base;
    const int mark = eventfd(0, EFD_CLOEXEC);
    const int carried = left_behind(mark);
    assert_int_equal(base_open(&base, &slot, carried), 0);
    assert_true(watches(base.set, mark));
    assert_true(watches(base.set, slot.epoll_fd));
    assert_true(base_is_around(base.set, &slot));
    assert_works(&base);
    forget(&base);
    close(mark);
}

static void carrying_leaves_the_descriptors_as_they_were(void **state)
{
    (void)state;
    struct base base;
    const int carried = left_behind(client);
    const int next = dup(client);
    close(next);
    assert_int_equal(base_open(&base, &slot, carried), 0);
    assert_int_equal(fcntl(carried, F_GETFD), -1);
    assert_int_equal(fcntl(base.set, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(slot.epoll_fd, F_GETFD), FD_CLOEXEC);
    assert_true(watches(slot.epoll_fd, client));
    forget(&base);
    assert_int_equal(dup(client), carried < next ? carried : next);
    close(carried < next ? carried : next);
}

static void other_sets_are_told_apart(void **state)
{
    (void)state;
    struct base base;
    const int stranger = epoll_create1(EPOLL_CLOEXEC);
    assert_int_equal(base_open(&base, &slot, -1), 0);
    assert_false(base_is_around(stranger, &slot));
    assert_false(base_is_around(client, &slot));
    assert_false(base_is_around(slot.epoll_fd, &slot));
    assert_false(base_is_around(-1, &slot));
    forget(&base);
    close(stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_made_anew_hears_of_clients, begin, end),
        cmocka_unit_test_setup_teardown(until_a_worker_reads_it_is_quiet, begin, end),
        cmocka_unit_test_setup_teardown(a_carried_set_is_what_libevent_waits_on, begin, end),
        cmocka_unit_test_setup_teardown(carrying_leaves_the_descriptors_as_they_were, begin, end),
        cmocka_unit_test_setup_teardown(other_sets_are_told_apart, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
