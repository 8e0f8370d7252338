/*
 * How the process's descriptors are shared out. All processes of a server share one descriptor
 * table, so the limit on open files counts for all of it: clients, and what the server needs for
 * itself, which no client may take.
 *
 *     0                                                                         limit
 *     +------------------------------------+-------------------+-----------------+
 *     | clients, at most max_connections   | clients that are  | reserve: links, |
 *     |                                    | being refused     | admin, parcels, |
 *     |                                    |                   | log, listeners  |
 *     +------------------------------------+-------------------+-----------------+
 *
 * The parts are numbers of descriptors, not ranges of them: the kernel gives out the lowest free.
 * So a client with number n says that n others are open, whoever has them. The counts of clients
 * leave out those on their way between two workers; therefore the number has a bound, too: `end`.
 */
#ifndef WSPUSHD_COMMON_BUDGET_H
#define WSPUSHD_COMMON_BUDGET_H

#include <stdint.h>

struct budget {
    uint32_t limit;   /* on open files: RLIMIT_NOFILE */
    uint32_t reserve; /* for the server itself */
    uint32_t refused; /* clients that may wait for their 503; more are closed at once */
    uint32_t clients; /* clients that may stay */
    uint32_t end;     /* a client whose descriptor is this or higher has half of the reserve */
};

/* Shares out `limit` descriptors. `slots`: workers that there may ever be; `workers`: that there
 * are. Where the limit is too low for all, each part gets less: the reserve half at most. */
struct budget budget_share(uint32_t limit, uint32_t max_connections, uint32_t slots,
                           uint32_t workers);

/* Returns RLIMIT_NOFILE, the soft limit. */
uint32_t budget_limit(void);

/* Raises the soft limit to the hard one. Returns it. */
uint32_t budget_raise_limit(void);

#endif
