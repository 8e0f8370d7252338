/*
 * The metrics that are not counters of shm/stats.h, as lists. /metrics and /api/stats show them,
 * and scripts/check-tables compares docs/operations.md with them. Names without a prefix get ours;
 * Prometheus defines those that begin with process_ for every program (see its guide for client
 * libraries).
 */
#ifndef WSPUSHD_WORKER_METRICS_LIST_H
#define WSPUSHD_WORKER_METRICS_LIST_H

/* Present values, summed over the slots: X(name, help, value of `slot`) */
#define SLOT_GAUGES(X)                                                                             \
    X("connections", "open connections, in any state", atomic_load(&slot->connections))            \
    X("users_connected", "connections with a user", atomic_load(&slot->ready_users))               \
    X("topic_members", "memberships of connections in topics", atomic_load(&slot->topics.members)) \
    X("redis_command_links_up", "workers whose Redis command link is up",                          \
      atomic_load(&slot->commands_up))                                                             \
    X("redis_links_up", "workers whose Redis subscription link is up",                             \
      (uint32_t)(atomic_load(&slot->link.state) == LINK_UP))                                       \
    X("redis_unread_bytes", "bytes received from Redis and not routed yet",                        \
      stream_level(&slot->link.in))                                                                \
    X("worker_restarts", "old name of worker_restarts_total", atomic_load(&slot->restarts))

enum {
#define SLOT_GAUGE_COUNTED(name, help, value) +1
    GAUGE_COUNT = 0 SLOT_GAUGES(SLOT_GAUGE_COUNTED)
#undef SLOT_GAUGE_COUNTED
};

/* All others, each with its own printer in metrics_node.c: X(printer, name, type, label names,
 * help) */
#define NODE_METRICS(X)                                                                       \
    X(workers, "wspushd_workers", "gauge", "", "worker processes that share the work")        \
    X(ready, "wspushd_ready", "gauge", "", "1 if clients can be served, as /readyz says")     \
    X(capacity, "wspushd_capacity_connections", "gauge", "",                                  \
      "connections that may be open at once")                                                 \
    X(restarts, "wspushd_worker_restarts_total", "counter", "", "deaths of worker processes") \
    X(worker_connections, "wspushd_worker_connections", "gauge", "worker",                    \
      "connections of each worker")                                                           \
    X(worker_cpu, "wspushd_worker_cpu_seconds_total", "counter", "worker",                    \
      "CPU time of each worker process since its start")                                      \
    X(worker_memory, "wspushd_worker_resident_memory_bytes", "gauge", "worker",               \
      "private memory of each worker, without files and shared memory")                       \
    X(requests, "wspushd_requests_total", "counter", "op", "requests of clients, by opcode")  \
    X(latency, "wspushd_push_latency_seconds", "histogram", "le",                             \
      "time from reading a push from Redis to the end of the flush that sent it")             \
    X(reload_ok, "wspushd_last_reload_successful", "gauge", "",                               \
      "0 if the last reload was refused or failed")                                           \
    X(reload_at, "wspushd_last_reload_timestamp_seconds", "gauge", "",                        \
      "when the last reload ended, or the start if there was none")                           \
    X(upgrade_ok, "wspushd_last_upgrade_successful", "gauge", "",                             \
      "0 if the last upgrade was refused or failed")                                          \
    X(upgrade_at, "wspushd_last_upgrade_timestamp_seconds", "gauge", "",                      \
      "when the last upgrade ended, or the start if there was none")                          \
    X(build, "wspushd_build_info", "gauge", "version,build",                                  \
      "the version and the build; always 1")                                                  \
    X(cpu, "process_cpu_seconds_total", "counter", "",                                        \
      "CPU time of all processes of the server, user and system")                             \
    X(memory, "process_resident_memory_bytes", "gauge", "",                                   \
      "resident memory of all processes; shared memory is counted once")                      \
    X(open_fds, "process_open_fds", "gauge", "", "open file descriptors, of all processes")   \
    X(max_fds, "process_max_fds", "gauge", "",                                                \
      "limit on open file descriptors, for all processes")                                    \
    X(start, "process_start_time_seconds", "gauge", "", "when the server started, Unix time")

#endif
