/*
 * The budget of descriptors. All processes of a server share one descriptor table, so the limit on
 * open files (RLIMIT_NOFILE) applies to the whole server. Part of it is reserved for the server's
 * own descriptors, so that clients cannot use them up.
 *
 *     0                                                                         limit
 *     +------------------------------------+-------------------+-----------------+
 *     | clients, at most max_connections   | clients that are  | reserve: links, |
 *     |                                    | being refused     | admin, parcels, |
 *     |                                    |                   | log, listeners  |
 *     +------------------------------------+-------------------+-----------------+
 *
 * The parts are counts of descriptors, not ranges: the kernel always assigns the lowest free
 * number. So if a client gets descriptor n, all n lower ones are open. The counts of clients leave
 * out connections in transit between two workers; therefore the number itself is limited, too:
 * `end`.
 */
#ifndef WSPUSHD_COMMON_BUDGET_H
#define WSPUSHD_COMMON_BUDGET_H

#include <stdint.h>

struct budget {
    uint32_t limit;   /* on open files: RLIMIT_NOFILE */
    uint32_t reserve; /* for the server's own descriptors */
    uint32_t refused; /* clients that are being sent a 503; more are closed at once */
    uint32_t clients; /* clients that are served */
    uint32_t end;     /* clients get descriptors below this; half of the reserve is above it */
};

/* Divides `limit` descriptors. `slots`: the largest possible number of workers; `workers`: the
 * current one. If the limit is too low, every part shrinks; the reserve gets at most half. */
struct budget budget_share(uint32_t limit, uint32_t max_connections, uint32_t slots,
                           uint32_t workers);

/* Returns the soft limit of RLIMIT_NOFILE. */
uint32_t budget_limit(void);

/* Raises the soft limit to the hard limit. Returns the new soft limit. */
uint32_t budget_raise_limit(void);

#endif
