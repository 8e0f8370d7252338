/*
 * The segment as layout 2 had it: the structs that have changed since, and the order of its
 * regions. For migrate.c alone, which builds a segment of this layout out of one.
 *
 *   header, slots, statistics, ring controls, connection table, user indexes, address counts,
 *   topic heads, topics, members, ring bytes, link input, link output
 *
 * What has changed since: the board and the backlogs are new; a link knows how often it got up
 * again; last words have faults and graves; there are more counters. Records, rings, indexes and
 * tables of topics are as they were.
 */
#ifndef WSPUSHD_SHM_LAYOUT2_H
#define WSPUSHD_SHM_LAYOUT2_H

#include "shm/addresses.h"
#include "shm/conn.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "shm/slot.h"
#include "shm/topics.h"

struct header2 {
    uint64_t magic;
    uint32_t layout;
    uint32_t boot_id;
    struct segment_shape shape;
    uint32_t own_fds;
    uint64_t size;
    uint64_t hash_seed;
    uint64_t started_ms;
    char node[NODE_NAME_MAX];
    char kept[KEPT_MAX];
};
_Static_assert(sizeof(struct segment_shape) == 24 && sizeof(struct header2) == 2184, "as it was");

/* The fields of a link and of a slot by their groups: X(type, name). */
#define LINK2_FIELDS(X)            \
    X(_Atomic uint32_t, state)     \
    X(_Atomic int32_t, fd)         \
    X(struct stream, in)           \
    X(struct stream, out)          \
    X(uint64_t, skip_to)           \
    X(uint64_t, batch_sent)        \
    X(uint64_t, batch_confirmed)   \
    X(_Atomic uint64_t, gap_since) \
    X(uint64_t, address)           \
    X(uint64_t, sent_base)         \
    X(_Atomic uint32_t, receiving) \
    X(_Atomic uint32_t, sending)   \
    X(_Atomic uint64_t, failed_at) \
    X(_Atomic uint32_t, failures)

#define SLOT2_MASTERS(X)             \
    X(_Atomic int32_t, pid)          \
    X(_Atomic uint32_t, incarnation) \
    X(_Atomic uint32_t, command)     \
    X(_Atomic uint32_t, restarts)    \
    X(int32_t, epoll_fd)             \
    X(int32_t, event_fd)

#define SLOT2_WORKERS(X)             \
    X(_Atomic uint64_t, heartbeat)   \
    X(_Atomic uint32_t, connections) \
    X(_Atomic uint32_t, ready_users) \
    X(_Atomic uint32_t, high)        \
    X(_Atomic uint32_t, present)     \
    X(_Atomic uint32_t, news)        \
    X(_Atomic uint32_t, handing)     \
    X(_Atomic uint32_t, node_state)  \
    X(_Atomic uint32_t, drained)     \
    X(_Atomic int32_t, parcel)       \
    X(_Atomic uint64_t, probed)      \
    X(struct users_control, users)

#define FIELD2(type, name) type name;
struct link2 {
    LINK2_FIELDS(FIELD2)
};

struct slot2 {
    _Alignas(64) struct {
        SLOT2_MASTERS(FIELD2)
    };
    _Alignas(64) _Atomic uint32_t sleeping;
    _Alignas(64) struct {
        SLOT2_WORKERS(FIELD2)
    };
    _Alignas(64) struct link2 link;
    _Alignas(64) struct topics_control topics;
    _Alignas(64) struct slot_aux aux[SLOT_AUX_MAX];
    _Alignas(64) struct {
        uint32_t doing, fd;
        uint64_t position;
    } words;
    _Atomic uint64_t handshakes;
};
#undef FIELD2
_Static_assert(offsetof(struct slot2, link) == 256 && sizeof(struct slot2) == 1600, "as it was");

/* The counters, in their order: X(field). */
#define STATS2(X)          \
    X(accepted)            \
    X(opened)              \
    X(closed_peer)         \
    X(closed_reset)        \
    X(closed_protocol)     \
    X(closed_slow)         \
    X(closed_heartbeat)    \
    X(closed_kicked)       \
    X(closed_replaced)     \
    X(closed_expired)      \
    X(closed_drain)        \
    X(closed_dirty)        \
    X(refused_request)     \
    X(refused_login)       \
    X(refused_origin)      \
    X(refused_full)        \
    X(refused_not_ready)   \
    X(refused_address)     \
    X(refused_rate)        \
    X(refused_unavailable) \
    X(refused_devices)     \
    X(refused_timeout)     \
    X(renewed)             \
    X(messages_in)         \
    X(bytes_in)            \
    X(frames_out)          \
    X(bytes_out)           \
    X(sends)               \
    X(pushes_received)     \
    X(pushes_routed)       \
    X(push_short)          \
    X(push_bad_json)       \
    X(push_no_op)          \
    X(push_bad_op)         \
    X(push_two_payloads)   \
    X(push_bad_text)       \
    X(push_bad_base64)     \
    X(push_bad_option)     \
    X(push_too_large)      \
    X(delivered)           \
    X(queued)              \
    X(dropped_slow)        \
    X(dropped_closed)      \
    X(dropped_nobody)      \
    X(dropped_expired)     \
    X(dropped_replaced)    \
    X(topic_joins)         \
    X(topic_leaves)        \
    X(commands)            \
    X(commands_malformed)  \
    X(errors_sent)         \
    X(ring_full)           \
    X(wakes_sent)          \
    X(handed_over)         \
    X(turns)               \
    X(link_connects)       \
    X(link_recvs)          \
    X(subscribes)          \
    X(unsubscribes)        \
    X(gaps)                \
    X(takeovers)           \
    X(reclaimed)           \
    X(index_rebuilds)

struct stats2 {
    _Alignas(64) _Atomic uint64_t first;
#define STATS2_FIELD(field) _Atomic uint64_t field;
    STATS2(STATS2_FIELD)
#undef STATS2_FIELD
};
_Static_assert(sizeof(struct stats2) == 512, "as it was");

/* The regions in their order: X(name, count, bytes of each), from `shape`; those with structs of
 * today have not changed. */
#define REGIONS2(X)                                                                              \
    X(HEADER, 1, sizeof(struct header2))                                                         \
    X(SLOTS, shape->workers, sizeof(struct slot2))                                               \
    X(STATS, shape->workers, sizeof(struct stats2))                                              \
    X(RINGS, shape->workers * shape->workers, sizeof(struct ring_control))                       \
    X(CONNS, shape->capacity, sizeof(struct conn))                                               \
    X(HEADS, shape->workers, shape->capacity * sizeof(uint32_t))                                 \
    X(ADDRESSES, shape->workers, addresses_size(shape->capacity) * sizeof(struct address_entry)) \
    X(TOPIC_HEADS, shape->workers, shape->memberships * sizeof(uint32_t))                        \
    X(TOPICS, shape->workers, shape->memberships * sizeof(struct topic))                         \
    X(MEMBERS, shape->workers, shape->memberships * sizeof(struct topic_member))                 \
    X(RING_DATA, shape->workers * shape->workers, shape->ring_size)                              \
    X(LINK_IN, shape->workers, shape->link_in_size)                                              \
    X(LINK_OUT, shape->workers, shape->link_out_size)
_Static_assert(sizeof(struct ring_control) == 128 && sizeof(struct conn) == 128 &&
                   sizeof(struct address_entry) == 16 && sizeof(struct topic) == 192 &&
                   sizeof(struct topic_member) == 32 && sizeof(struct users_control) == 16 &&
                   sizeof(struct topics_control) == 64 && sizeof(struct stream) == 32,
               "as they were");

#endif
