/*
 * See budget.h. tests/integration/test_descriptors.py checks these numbers by filling a server up
 * to its limit.
 */
#include "common/budget.h"

#include <sys/resource.h>

enum {
    MASTER = 64,   /* descriptors of the master: segment, signals, log, listeners; a reload opens
                      new listeners before it closes old ones, an upgrade needs copies */
    EACH_SLOT = 8, /* epoll set, eventfd, and the event base's own */
    EACH_WORKER = 128, /* links, look-ups, admin clients, a parcel, files being read */
    REFUSED_MAX = 1024,
    REFUSED_SHARE = 64 /* at most 1/64 of the clients' part */
};

static uint32_t smaller_of(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

struct budget budget_share(uint32_t limit, uint32_t max_connections, uint32_t slots,
                           uint32_t workers)
{
    const uint64_t wanted = MASTER + (uint64_t)EACH_SLOT * slots + (uint64_t)EACH_WORKER * workers;
    struct budget budget = {.limit = limit, .reserve = smaller_of(wanted, limit / 2)};
    budget.end = limit - budget.reserve / 2;
    const uint32_t left = limit - budget.reserve;
    if (left >= (uint64_t)max_connections + REFUSED_MAX)
        budget.refused = REFUSED_MAX;
    else
        budget.refused = smaller_of(left / REFUSED_SHARE, REFUSED_MAX);
    budget.clients = smaller_of(max_connections, left - budget.refused);
    return budget;
}

static uint32_t clamp_limit(rlim_t limit)
{
    return limit > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)limit;
}

uint32_t budget_limit(void)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    return clamp_limit(limit.rlim_cur);
}

uint32_t budget_raise_limit(void)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return budget_limit();
}
