/*
 * The event base of a slot.
 *
 *   libevent's epoll set ─────────▶ slot's epoll set ─────▶ client
 *     │   quiet: EPOLLRDHUP              │                ─▶ client ...
 *     └─▶ eventfd, link, listeners ...   └ outlives every process
 *
 * The master creates it before the first fork, so every successor finds the slot's set registered
 * and only modifies the registration (EPOLL_CTL_MOD) when it begins to read. Registering it again
 * (EPOLL_CTL_ADD) would make the kernel walk all of the set's connections, to rule out cycles of
 * epoll sets: 3 ms for 10,000 of them. For the same reason libevent's set survives an upgrade.
 */
#ifndef WSPUSHD_MASTER_BASE_H
#define WSPUSHD_MASTER_BASE_H

#include "shm/slot.h"

#include <event2/event.h>
#include <stdbool.h>

struct base {
    struct event_base *event_base; /* this process never runs it */
    struct event *quiet;           /* watches the slot's set for an event that never occurs */
    int set;                       /* libevent's epoll set; -1: unknown */
};

/* Creates the base. `carried`: libevent's epoll set of the version before an upgrade, which watches
 * the slot's set, or -1; takes and closes it. Returns 0, or -1. */
int base_open(struct base *base, const struct slot *slot, int carried);

/* True if `set` is an epoll set that watches the slot's set. If so, sets its registration to the
 * event that never occurs. */
bool base_is_around(int set, const struct slot *slot);

#endif
