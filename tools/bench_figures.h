/*
 * The figures of a result, as the table and the JSON show them. One table defines them; a figure
 * that was not measured is NaN, a dash in the table and null in JSON.
 *
 * X(name in JSON, function, unit and meaning)
 */
#ifndef WSPUSHD_TOOLS_BENCH_FIGURES_H
#define WSPUSHD_TOOLS_BENCH_FIGURES_H

#include "tools/bench_run.h"

#define FIGURES(X)                                                                               \
    X(clients, figure_clients, "connections that were ready when the measurement began")         \
    X(seconds, figure_seconds, "that were measured")                                             \
    X(delivered, figure_delivered, "deliveries, answered requests or new connections meanwhile") \
    X(rate, figure_rate, "of them, a second")                                                    \
    X(lost, figure_lost, "published and never received; requests without an answer")             \
    X(doubled, figure_doubled, "received twice")                                                 \
    X(late, figure_late, "received out of order")                                                \
    X(p50_us, figure_p50, "us from when it was due to its arrival")                              \
    X(p90_us, figure_p90, "")                                                                    \
    X(p99_us, figure_p99, "")                                                                    \
    X(p99_9_us, figure_p999, "")                                                                 \
    X(max_us, figure_max, "")                                                                    \
    X(mean_us, figure_mean, "")                                                                  \
    X(server_us, figure_server, "us of the server's CPU for each delivery")                      \
    X(redis_us, figure_redis, "us of Redis's")                                                   \
    X(server_user, figure_user, "share of the server's CPU that is user time, 0 to 1")           \
    X(calls, figure_calls, "system calls of the server for each delivery")                       \
    X(switches, figure_switches, "times that a process of the server slept, for each delivery")  \
    X(memory_bytes, figure_memory, "of the server for each connection")                          \
    X(kernel_bytes, figure_kernel, "of the kernel for each connection, both ends")               \
    X(idle_cpu_ms, figure_idle_cpu, "ms of the server's CPU a second without load")              \
    X(wakeups, figure_wakeups, "times a second that a process of the server slept without load") \
    X(gap_median_ms, figure_gap_median, "longest wait of a push after an event")                 \
    X(gap_worst_ms, figure_gap_worst, "")                                                        \
    X(stall_of_worst_ms, figure_stall_of_worst, "in the worst, the machine itself stood still")  \
    X(back_worst_ms, figure_back_worst, "until the last client that it closed was back")         \
    X(share_server, figure_share_server, "percent of the machine's CPU")                         \
    X(share_redis, figure_share_redis, "")                                                       \
    X(share_own, figure_share_own, "")                                                           \
    X(share_others, figure_share_others, "what is neither: a busy machine measures badly")

#define FIGURE_DECLARE(name, function, text) double function(const struct result *result);
FIGURES(FIGURE_DECLARE)
#undef FIGURE_DECLARE

/* Returns the milliseconds for which the machine stalled after an event. NAN: not measured. */
double event_stall(const struct event_result *event);

#endif
