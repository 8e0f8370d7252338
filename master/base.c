/*
 * See base.h. libevent has no function that returns the descriptor of its epoll set. It is the
 * first descriptor that a base opens, so it has the lowest free number; to be sure, base_open
 * checks that the set watches the slot's set.
 */
#include "master/base.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void on_quiet_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
}

static int lowest_free_fd(int any)
{
    const int fd = dup(any);
    close(fd);
    return fd;
}

bool base_is_around(int set, const struct slot *slot)
{
    struct epoll_event quiet; /* as libevent registers EV_CLOSED */
    memset(&quiet, 0, sizeof(quiet));
    quiet.events = EPOLLRDHUP;
    quiet.data.fd = slot->epoll_fd;
    return epoll_ctl(set, EPOLL_CTL_MOD, slot->epoll_fd, &quiet) == 0;
}

/*
 * Makes libevent use the carried set. First libevent registers a cheap descriptor (the eventfd)
 * under the number of the slot's epoll set; then the carried set, in which the slot's set is
 * already registered under that number, replaces libevent's own.
 */
static bool adopt_carried_set(const struct base *base, const struct slot *slot, int carried)
{
    const int kept = fcntl(slot->epoll_fd, F_DUPFD_CLOEXEC, 0);
    if (kept == -1)
        return false;
    dup2(slot->event_fd, slot->epoll_fd);
    const bool done = event_add(base->quiet, NULL) == 0 && base_is_around(base->set, slot);
    if (!done)
        event_del(base->quiet);
    dup3(kept, slot->epoll_fd, O_CLOEXEC);
    close(kept);
    return done && dup3(carried, base->set, O_CLOEXEC) != -1;
}

int base_open(struct base *base, const struct slot *slot, int carried)
{
    base->set = lowest_free_fd(slot->epoll_fd);
    base->event_base = event_base_new();
    if (!base->event_base)
        return -1;
    base->quiet =
        event_new(base->event_base, slot->epoll_fd, EV_CLOSED | EV_PERSIST, on_quiet_event, NULL);
    if (!base->quiet)
        return -1;
    const bool done = carried != -1 && adopt_carried_set(base, slot, carried);
    if (carried != -1)
        close(carried);
    if (!done && event_add(base->quiet, NULL) == -1)
        return -1;
    if (!base_is_around(base->set, slot))
        base->set = -1;
    return 0;
}
