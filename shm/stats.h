/*
 * Statistics: one block for each worker, written only by that worker; readers add the blocks up.
 * The table below is the only list of counters: the struct, the names in /metrics and /api/stats
 * and their help all come from it. Two families whose labels are not a fixed list follow it:
 * requests by opcode, and the latency of pushes by bucket.
 */
#ifndef WSPUSHD_SHM_STATS_H
#define WSPUSHD_SHM_STATS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * X(field, "family", "labels", "help"): counters, which only grow. Rows of one family are adjacent
 * and share the help of the first.
 *
 * The accounts of pushes: every push received is counted as one of routed, malformed or too large;
 * every routed push makes one delivery for each of its connections, which is counted as delivered,
 * or queued and later delivered, or dropped for a named reason.
 */
#define STATS(X)                                                                                   \
    X(accepted, "connections_accepted_total", "", "TCP and unix connections accepted")             \
    X(opened, "connections_opened_total", "", "connections that got their HELLO")                  \
    X(closed_peer, "connections_closed_total", "reason=\"peer\"", "connections ended, by reason")  \
    X(closed_reset, "connections_closed_total", "reason=\"reset\"", "")                            \
    X(closed_protocol, "connections_closed_total", "reason=\"protocol\"", "")                      \
    X(closed_slow, "connections_closed_total", "reason=\"slow\"", "")                              \
    X(closed_heartbeat, "connections_closed_total", "reason=\"heartbeat\"", "")                    \
    X(closed_kicked, "connections_closed_total", "reason=\"kicked\"", "")                          \
    X(closed_replaced, "connections_closed_total", "reason=\"replaced\"", "")                      \
    X(closed_expired, "connections_closed_total", "reason=\"expired\"", "")                        \
    X(closed_drain, "connections_closed_total", "reason=\"drain\"", "")                            \
    X(closed_dirty, "connections_closed_total", "reason=\"dirty\"", "")                            \
    X(closed_poison, "connections_closed_total", "reason=\"poison\"", "")                          \
    X(refused_request, "handshakes_refused_total", "reason=\"bad_request\"",                       \
      "handshakes refused, by reason")                                                             \
    X(refused_login, "handshakes_refused_total", "reason=\"login\"", "")                           \
    X(refused_origin, "handshakes_refused_total", "reason=\"origin\"", "")                         \
    X(refused_full, "handshakes_refused_total", "reason=\"full\"", "")                             \
    X(refused_not_ready, "handshakes_refused_total", "reason=\"not_ready\"", "")                   \
    X(refused_address, "handshakes_refused_total", "reason=\"address\"", "")                       \
    X(refused_rate, "handshakes_refused_total", "reason=\"rate\"", "")                             \
    X(refused_unavailable, "handshakes_refused_total", "reason=\"login_unavailable\"", "")         \
    X(refused_devices, "handshakes_refused_total", "reason=\"devices\"", "")                       \
    X(refused_timeout, "handshakes_refused_total", "reason=\"timeout\"", "")                       \
    X(renewed, "logins_renewed_total", "", "tokens renewed on an open connection (AUTH)")          \
    X(messages_in, "messages_received_total", "", "messages from clients")                         \
    X(bytes_in, "bytes_received_total", "", "bytes from clients")                                  \
    X(frames_out, "frames_sent_total", "", "frames handed to the kernel")                          \
    X(bytes_out, "bytes_sent_total", "", "bytes handed to the kernel")                             \
    X(sends, "send_calls_total", "", "system calls that sent to clients")                          \
    X(pushes_received, "pushes_received_total", "", "pushes that Redis delivered to this node")    \
    X(pushes_routed, "pushes_routed_total", "", "received pushes that were well formed")           \
    X(push_short, "push_malformed_total", "reason=\"short\"", "malformed pushes, by reason")       \
    X(push_bad_json, "push_malformed_total", "reason=\"bad_json\"", "")                            \
    X(push_no_op, "push_malformed_total", "reason=\"no_op\"", "")                                  \
    X(push_bad_op, "push_malformed_total", "reason=\"bad_op\"", "")                                \
    X(push_two_payloads, "push_malformed_total", "reason=\"two_payloads\"", "")                    \
    X(push_bad_text, "push_malformed_total", "reason=\"bad_text\"", "")                            \
    X(push_bad_base64, "push_malformed_total", "reason=\"bad_base64\"", "")                        \
    X(push_bad_option, "push_malformed_total", "reason=\"bad_option\"", "")                        \
    X(push_too_large, "push_malformed_total", "reason=\"too_large\"", "")                          \
    X(unknown_push, "unknown_members_total", "in=\"push\"",                                        \
      "well-formed texts with an unknown member, by where it was")                                 \
    X(unknown_command, "unknown_members_total", "in=\"command\"", "")                              \
    X(unknown_admin, "unknown_members_total", "in=\"admin\"", "")                                  \
    X(delivered, "pushes_delivered_total", "", "deliveries whose last byte the kernel took")       \
    X(queued, "pushes_queued_total", "", "deliveries that had to wait for a slow client")          \
    X(dropped_slow, "pushes_dropped_total", "reason=\"slow\"", "deliveries dropped, by reason")    \
    X(dropped_closed, "pushes_dropped_total", "reason=\"closed\"", "")                             \
    X(dropped_nobody, "pushes_dropped_total", "reason=\"no_connection\"", "")                      \
    X(dropped_expired, "pushes_dropped_total", "reason=\"expired\"", "")                           \
    X(dropped_replaced, "pushes_dropped_total", "reason=\"replaced\"", "")                         \
    X(dropped_poison, "pushes_dropped_total", "reason=\"poison\"", "")                             \
    X(topic_joins, "topic_joins_total", "", "memberships in topics that began")                    \
    X(topic_leaves, "topic_leaves_total", "", "memberships in topics that ended")                  \
    X(commands, "commands_total", "", "commands on push:ctl that were carried out")                \
    X(commands_malformed, "commands_malformed_total", "", "malformed commands on push:ctl")        \
    X(errors_sent, "client_errors_total", "", "ERROR messages sent to clients")                    \
    X(records_damaged, "records_damaged_total", "",                                                \
      "records of connections that were overwritten")                                              \
    X(ring_full, "ring_full_total", "", "times a full ring stopped a worker's Redis link")         \
    X(ring_damages, "ring_damages_total", "", "words and entries of rings that were overwritten")  \
    X(wakes_sent, "wakes_total", "", "eventfd writes that woke another worker")                    \
    X(handed_over, "handed_over_total", "", "connections given to their user's home worker")       \
    X(rehomed, "rehomed_total", "", "connections given away as the number of workers was changed") \
    X(turns, "turns_total", "", "turns of the event loop")                                         \
    X(link_connects, "redis_connects_total", "", "connections made to Redis for subscriptions")    \
    X(link_recvs, "redis_reads_total", "", "system calls that read pushes from Redis")             \
    X(subscribes, "redis_subscribes_total", "", "channels subscribed")                             \
    X(unsubscribes, "redis_unsubscribes_total", "", "channels unsubscribed")                       \
    X(gaps, "gaps_total", "", "times that clients were told of a gap")                             \
    X(takeovers, "takeovers_total", "", "times that a worker took a dead one's slot over")         \
    X(reclaimed, "descriptors_reclaimed_total", "",                                                \
      "leaked descriptors of dead workers that were closed")                                       \
    X(log_lost, "log_lines_lost_total", "",                                                        \
      "lines of the workers' log that could not be written at once")                               \
    X(index_rebuilds, "index_rebuilds_total", "", "user indexes rebuilt after a death")

/*
 * The upper bounds of the buckets of a push's latency, from the recv(2) of its last byte from Redis
 * to the end of the flush that gave it to the kernel: X(microseconds, the bound in seconds). Longer
 * latencies are in one more bucket.
 */
#define LATENCY_BOUNDS(X) \
    X(50, "0.00005")      \
    X(100, "0.0001")      \
    X(200, "0.0002")      \
    X(500, "0.0005")      \
    X(1000, "0.001")      \
    X(2000, "0.002")      \
    X(5000, "0.005")      \
    X(10000, "0.01")      \
    X(20000, "0.02")      \
    X(50000, "0.05")      \
    X(100000, "0.1")      \
    X(200000, "0.2")      \
    X(500000, "0.5")      \
    X(1000000, "1")

enum {
#define LATENCY_ENUM(us, seconds) LATENCY_TO_##us,
    LATENCY_BOUNDS(LATENCY_ENUM)
#undef LATENCY_ENUM
        LATENCY_ABOVE,
    LATENCY_BUCKETS
};

/* Returns the bucket of a latency. */
static inline uint32_t latency_bucket(uint64_t us)
{
#define LATENCY_WITHIN(bound, seconds) \
    if (us <= (bound))                 \
        return LATENCY_TO_##bound;
    LATENCY_BOUNDS(LATENCY_WITHIN)
#undef LATENCY_WITHIN
    return LATENCY_ABOVE;
}

/* Requests of one opcode. An entry is taken by the first request of its opcode, and kept. */
struct stats_requests {
    _Atomic uint32_t op; /* 0: the entry is free. ERROR is never a request */
    _Atomic uint64_t count;
};
enum { STATS_OPCODES_MAX = 128 };

struct stats {
    _Alignas(64) _Atomic uint64_t first; /* keeps the struct's alignment; always 0 */
#define STATS_FIELD(field, family, labels, help) _Atomic uint64_t field;
    STATS(STATS_FIELD)
#undef STATS_FIELD
    _Atomic uint64_t latency[LATENCY_BUCKETS];         /* pushes, each in one bucket */
    _Atomic uint64_t latency_us;                       /* the sum of their latencies */
    struct stats_requests requests[STATS_OPCODES_MAX]; /* taken from the front */
    _Atomic uint64_t requests_other; /* of unknown opcodes, or that found no free entry */
    _Atomic uint64_t cpu_shown; /* the most CPU time of the whole server, in ticks, that this worker
                                   has reported: reports must never go back (worker/processes.c) */
};

/* Adds to a counter. Relaxed: one writer, and readers that only need a recent number. */
static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* The table as data, for printing. `offset`: of the field in struct stats. */
struct stats_row {
    const char *family, *labels, *help;
    size_t offset;
};
extern const struct stats_row stats_table[];
extern const size_t stats_table_len;

/* Returns the counter of an opcode's requests in the caller's own block. Takes an entry if there is
 * none yet; returns requests_other if all are taken. */
_Atomic uint64_t *stats_requests(struct stats *stats, uint32_t op);

/* Returns how many requests with this opcode the block counts. */
uint64_t stats_requests_of(const struct stats *stats, uint32_t op);

/* Adds up the latencies of `workers` blocks: deliveries by bucket, each in one. Returns the sum of
 * their latencies in microseconds. */
uint64_t stats_latency_sum(const struct stats *blocks, uint32_t workers,
                           uint64_t out[LATENCY_BUCKETS]);

/* Returns a row's sum over `workers` blocks. */
uint64_t stats_sum(const struct stats *blocks, uint32_t workers, const struct stats_row *row);

#endif
