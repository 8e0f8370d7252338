/*
 * The shared memory of the processes of a run. It has no locks, because every word has one writer,
 * named above it.
 *
 *   wspush-bench ──fork──┬▶ publisher     publishes pushes that are due, and counts them
 *     the main process:  ├▶ swarm 0       holds clients 0, S, 2S, ... and counts for them
 *     gives the orders,  ├▶ swarm 1       holds clients 1, S + 1, ...
 *     measures          ├▶ ...
 *                        └▶ stall 0, 1    one on each processor: measures its stalls
 *
 *   +--------------------------------------------------+
 *   | orders: phase, connections wanted, times, events |  written by the main process
 *   +--------------------------------------------------+
 *   | the publisher's counts, and its latch            |  written by the publisher
 *   +--------------------------------------------------+
 *   | swarm 0: counts, histograms, what events did     |  written by that swarm
 *   | swarm 1: ...                                     |
 *   +--------------------------------------------------+
 *   | stall 0, 1, ...: how late they woke              |  each by its process
 *   +--------------------------------------------------+
 *   | sent: next number of each user, topic, and all   |  written by the publisher
 *   +--------------------------------------------------+
 *   | away: users that must not be pushed to           |  written by the user's swarm
 *   +--------------------------------------------------+
 *
 * It is created before the processes are forked, so its addresses are the same in all of them.
 * Histograms and non-atomic fields are read after their writer has ended.
 *
 * A client that leaves on purpose must have received everything before. Its swarm sets `away` and
 * then reads `sent`; the publisher increments `sent` and then reads `away`, and takes the push back
 * if it is set. Both use full barriers (Dekker), so at least one of them sees the other's store,
 * and every published push is waited for.
 */
#ifndef WSPUSHD_TOOLS_BENCH_BOARD_H
#define WSPUSHD_TOOLS_BENCH_BOARD_H

#include "tools/bench_histogram.h"
#include "tools/bench_options.h"
#include "tools/bench_payload.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 *   CONNECT ──▶ RUN ──▶ DRAIN ──▶ END
 *   clients     pushes  no more   final counts, then all end
 *   connect     and     pushes
 *               requests
 */
enum phase { PHASE_CONNECT, PHASE_RUN, PHASE_DRAIN, PHASE_END };

/* The counters of a swarm: X(name, description) */
#define SWARM_COUNTS(X)                                                   \
    X(ready, "connections that are ready now")                            \
    X(opened, "connections that became ready")                            \
    X(refused, "attempts to connect that failed")                         \
    X(closed, "connections that the server closed")                       \
    X(left, "connections that left on purpose")                           \
    X(deliveries, "pushes received")                                      \
    X(settled, "pushes that were expected and not received before")       \
    X(doubled, "pushes received again")                                   \
    X(late, "pushes received after one that was published later")         \
    X(foreign, "messages for another user or from another run")           \
    X(expected, "pushes published for these clients, counted at the end") \
    X(requests, "requests sent")                                          \
    X(accepted, "requests answered with ACCEPTED or an echo")             \
    X(rejected, "requests answered with ERROR")                           \
    X(gaps, "GAPs: the server says that pushes may be missing")

/* The counters of the publisher: X(name, description) */
#define PUBLISHER_COUNTS(X)                                        \
    X(published, "pushes published")                               \
    X(owed, "deliveries expected of them, to clients that stay")   \
    X(answered, "replies to these pushes")                         \
    X(receivers, "sum of the replies: nodes that had a recipient") \
    X(nobody, "replies of 0")                                      \
    X(failed, "errors instead of a reply")                         \
    X(forgiven, "deliveries that the window did not wait for any longer")

/* The effect of one event on the clients of a swarm. */
struct event_mark {
    uint64_t worst;   /* ns: the longest latency of a push that arrived after it */
    uint64_t back_at; /* ns: when the last client that it disconnected was ready again */
    uint32_t closed, back;
};

#define BOARD_COUNT(name, text) _Atomic uint64_t name;
struct swarm_board {
    _Alignas(64) struct histogram latency; /* push: due to received. Request: due to answered */
    struct histogram connects;             /* from due to ready */
    struct event_mark event[EVENTS_MAX];
    char error[160];         /* why the last attempt to connect failed */
    _Atomic uint32_t denied; /* status of a final refusal of the handshake; 0: none */
    SWARM_COUNTS(BOARD_COUNT)
};

struct publisher_board {
    _Alignas(64) struct histogram lag; /* from due to sent to Redis: the generator's own delay */
    char error[160];

    /* The latch: the publisher sets `waits` and then tests its condition once more; a swarm counts
     * its arrivals and then tests `waits`. */
    _Atomic uint32_t waits;
    _Atomic uint64_t goal; /* number of settled deliveries to wait for */
    PUBLISHER_COUNTS(BOARD_COUNT)
};
#undef BOARD_COUNT

/* bench_stall.h */
struct stall_board {
    _Alignas(64) _Atomic uint32_t measures; /* it runs on its processor with its priority */
    uint64_t event[EVENTS_MAX];             /* ns: its longest delay before the next event */
};

struct board {
    /* Written by the main process. */
    _Alignas(64) _Atomic uint32_t phase;
    _Atomic uint32_t wanted;        /* clients with lower numbers connect */
    _Atomic uint64_t measured_from; /* ns: everything due earlier is warm-up */
    _Atomic uint64_t stop_at;       /* ns: nothing is due later */
    _Atomic uint32_t events;        /* number of events so far */

    struct publisher_board publisher;
    struct swarm_board swarm[SWARMS_MAX];
    struct stall_board stall[STALLS_MAX];
};

/* What every process of a run knows; not written after the fork. */
struct bench {
    const struct options *options;
    const struct mode *mode;
    uint32_t users, swarms, topics;
    uint64_t rate, window; /* the mode's or the command line's */
    int wake_fd;           /* eventfd(2) that wakes the publisher */
    struct board *board;
    _Atomic uint32_t *sent[SOURCE_STREAMS]; /* by number of the user or topic */
    _Atomic uint32_t *away;                 /* by user */
};

/* Creates the board of a run. Returns false with errno if memory runs out. */
bool board_open(struct bench *bench);
void board_close(struct bench *bench);

/* Adds to a counter. Relaxed: there is one writer, and readers only need a recent value. */
static inline void board_add(_Atomic uint64_t *count, uint64_t n)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline enum phase board_phase(const struct bench *bench)
{
    return (enum phase)atomic_load_explicit(&bench->board->phase, memory_order_acquire);
}

/* The counters summed over all swarms. */
struct swarm_sums {
#define BOARD_SUM(name, text) uint64_t name;
    SWARM_COUNTS(BOARD_SUM)
#undef BOARD_SUM
};
struct swarm_sums board_sums(const struct bench *bench);

/* Returns the sum of the counter that the window limits: deliveries that are owed, and answers. */
uint64_t board_settled(const struct bench *bench);

/* True if the client of that user leaves and returns in this run. */
static inline bool bench_comes_and_goes(const struct bench *bench, uint32_t user)
{
    return bench->mode->churn && user % 4 == 3;
}

#endif
