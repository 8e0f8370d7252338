/*
 * The event base of a slot.
 *
 *   libevent's epoll set ─────────▶ slot's epoll set ─────▶ client
 *     │   quiet: EPOLLRDHUP              │                ─▶ client ...
 *     └─▶ eventfd, link, listeners ...   └ outlives every process
 *
 * The master makes it before the first fork: so every successor has the slot's set registered and
 * changes that (EPOLL_CTL_MOD) when it begins to read. To register it anew (EPOLL_CTL_ADD) the
 * kernel goes through all of its connections, to see that no sets watch each other in a circle: 3
 * ms for 10,000 of them. So libevent's set is carried over an upgrade, too.
 */
#ifndef WSPUSHD_MASTER_BASE_H
#define WSPUSHD_MASTER_BASE_H

#include "shm/slot.h"

#include <event2/event.h>
#include <stdbool.h>

struct base {
    struct event_base *event_base; /* this process never runs it */
    struct event *quiet;           /* watches the slot's set for what an epoll set never has */
    int set;                       /* libevent's epoll set; -1: not known */
};

/* Makes one. `carried`: a set around the slot's, the version before an upgrade's, or -1; it is
 * closed. Returns 0, or -1. */
int base_open(struct base *base, const struct slot *slot, int carried);

/* Whether a descriptor is an epoll set that watches the slot's. If so, it is quiet from now on. */
bool base_is_around(int set, const struct slot *slot);

#endif
