/*
 * One run: a mode from its first connection to its result.
 *
 *   empty ──connect──▶ (first ──connect──▶) full ──settle──▶ warm-up ──▶ measured ──▶ drained
 *     │                  │                   │                  │            │           │
 *     └ memory           └ memory            └ memory, CPU      └ CPU, counts begin      └ end
 */
#ifndef WSPUSHD_TOOLS_BENCH_RUN_H
#define WSPUSHD_TOOLS_BENCH_RUN_H

#include "tools/bench_board.h"
#include "tools/bench_proc.h"
#include "tools/bench_target.h"

#include <stdbool.h>
#include <stdint.h>

/* A sample at one of those moments. */
struct sample {
    uint64_t at; /* ns */
    struct usage server, redis, own;
    struct machine machine;
    struct swarm_sums clients;
    uint64_t published;
    uint64_t calls;
};

/* The effect of one event on the clients, over all swarms. */
struct event_result {
    uint64_t at;       /* ns: when it happened */
    uint64_t worst;    /* ns: the longest latency of a push from then until the next event */
    uint64_t stall;    /* ns: the longest stall of the machine in that time; UINT64_MAX: unknown */
    uint64_t back;     /* ns until the last client that it disconnected was ready again */
    uint32_t closed;   /* clients that the server closed */
    uint32_t returned; /* of them, ready again */
};

struct result {
    const struct mode *mode;
    uint32_t users, first;
    uint64_t rate, window;
    struct sample empty, half, full, began, ended; /* half: with the first connections */
    uint64_t stopped;          /* ns: when nothing more was due; missing messages are waited for */
    struct swarm_sums clients; /* at the very end */
    uint64_t published, answered, receivers, nobody, failed;
    uint64_t lost, unanswered;
    struct histogram latency, connects, lag;
    uint32_t events;
    struct event_result event[EVENTS_MAX];
    const char *no_calls;    /* why system calls were not counted; NULL: they were */
    char connect_error[160]; /* why the last attempt to connect failed, or empty */
    char publish_error[160];
};

/* Runs a mode. Returns false if there is no result, after printing the reason on stderr. */
bool run_mode(struct result *result, const struct options *options, const struct mode *mode,
              const struct target *clients_to, const struct target *publish_to);

/* Asks the run to stop measuring and to report its result so far. May be called from a signal
 * handler. */
void run_stop(void);

/* True if the result shows no fault: nothing lost, reordered, misdelivered or duplicated (a kill
 * may cause duplicates), no client closed (unless something was done to the server). */
bool result_good(const struct result *result);

/* Returns the measured time in seconds. */
double result_seconds(const struct result *result);

/* Returns the number of deliveries, or answers to requests, that were measured. */
uint64_t result_deliveries(const struct result *result);

#endif
