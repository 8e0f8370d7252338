/*
 * The figures of a result, as the table and the JSON show them. One table defines them; a figure
 * that was not measured is NaN, a dash in the table and null in JSON.
 *
 * X(name in JSON, function, unit and meaning)
 */
#ifndef WSPUSHD_TOOLS_BENCH_FIGURES_H
#define WSPUSHD_TOOLS_BENCH_FIGURES_H

#include "tools/bench_run.h"

#define FIGURES(X)                                                                            \
    X(clients, figure_clients, "connections that were ready when the measurement began")      \
    X(seconds, figure_seconds, "seconds of the measurement")                                  \
    X(delivered, figure_delivered,                                                            \
      "deliveries, answered requests or new connections in that time")                        \
    X(rate, figure_rate, "the same per second")                                               \
    X(lost, figure_lost, "published and never received; requests without an answer")          \
    X(doubled, figure_doubled, "received twice")                                              \
    X(late, figure_late, "received out of order")                                             \
    X(p50_us, figure_p50, "us between due time and arrival")                                  \
    X(p90_us, figure_p90, "")                                                                 \
    X(p99_us, figure_p99, "")                                                                 \
    X(p99_9_us, figure_p999, "")                                                              \
    X(max_us, figure_max, "")                                                                 \
    X(mean_us, figure_mean, "")                                                               \
    X(server_us, figure_server, "us of the server's CPU per delivery")                        \
    X(redis_us, figure_redis, "us of Redis's CPU per delivery")                               \
    X(server_user, figure_user, "share of the server's CPU that is user time, 0 to 1")        \
    X(calls, figure_calls, "system calls of the server per delivery")                         \
    X(switches, figure_switches, "times that a process of the server slept, per delivery")    \
    X(memory_bytes, figure_memory, "bytes of the server per connection")                      \
    X(kernel_bytes, figure_kernel, "bytes of the kernel per connection, both ends")           \
    X(idle_cpu_ms, figure_idle_cpu, "ms of the server's CPU per second without load")         \
    X(wakeups, figure_wakeups, "sleeps of the server's processes per second without load")    \
    X(gap_median_ms, figure_gap_median, "longest wait of a push after an event")              \
    X(gap_worst_ms, figure_gap_worst, "")                                                     \
    X(stall_of_worst_ms, figure_stall_of_worst, "stall of the machine in the worst of these") \
    X(back_worst_ms, figure_back_worst, "until the last disconnected client was back")        \
    X(share_server, figure_share_server, "percent of the machine's CPU")                      \
    X(share_redis, figure_share_redis, "")                                                    \
    X(share_own, figure_share_own, "")                                                        \
    X(share_others, figure_share_others, "other processes: a busy machine measures badly")

#define FIGURE_DECLARE(name, function, text) double function(const struct result *result);
FIGURES(FIGURE_DECLARE)
#undef FIGURE_DECLARE

/* Returns the milliseconds for which the machine stalled after an event. NAN: not measured. */
double event_stall(const struct event_result *event);

#endif
