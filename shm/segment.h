/*
 * The shared segment: one memfd that the master makes before it forks the first worker, mapped
 * by every process. It holds everything that must outlive a worker.
 *
 *   offset 0
 *   +------------------+  struct segment_header: shape of what follows, and the plan
 *   | header           |
 *   +------------------+  struct board: the master's announcements               (board.h)
 *   | board            |
 *   +------------------+  struct history: samples of the last hour               (history.h)
 *   | history          |
 *   +------------------+  struct slot[workers]: one for each worker process      (slot.h)
 *   | slots            |
 *   +------------------+  struct stats[workers]: counters                        (stats.h)
 *   | statistics       |
 *   +------------------+  struct ring_control[workers * workers]                 (ring.h)
 *   | ring controls    |
 *   +------------------+  struct conn[capacity], indexed by file descriptor      (conn.h)
 *   | connection table |
 *   +------------------+  uint64_t[capacity]: waiting bytes, by descriptor       (backlog.h)
 *   | backlogs         |
 *   +------------------+  uint32_t[capacity]: bytes sent, modulo 2^32; written by the owner
 *   | bytes sent       |                                                   (worker/sending.h)
 *   +------------------+  uint32_t[capacity]: links between connections of one user, by
 *   | siblings         |  descriptor; written by their home                     (users.h)
 *   +------------------+  struct kicks: the last kicks of users                  (kicks.h)
 *   | kicks            |
 *   +------------------+  uint32_t[workers][capacity]: heads of the buckets      (users.h)
 *   | user indexes     |
 *   +------------------+  struct address_entry[workers][addresses_size()]        (addresses.h)
 *   | address counts   |
 *   +------------------+  heads, topics, members, each [workers][memberships]    (topics.h)
 *   | topics           |
 *   +------------------+  [workers * workers][ring_size]                         (ring.h)
 *   | ring bytes       |
 *   +------------------+  [workers][link_in_size], [workers][link_out_size]      (slot.h)
 *   | link buffers     |
 *   +------------------+
 *
 * Every region begins on a page. Untouched pages take no memory, so the regions are sized for the
 * maximum. There are offsets and indices in here and no pointers: each process maps the segment at
 * its own address.
 *
 * The law: every word has one writer, named where it is declared. Nothing is ever locked, so a
 * process that dies leaves nothing locked. tests/unit/test_segment.c checks the layout.
 *
 * README.md of this folder says how to change a stored struct.
 */
#ifndef WSPUSHD_SHM_SEGMENT_H
#define WSPUSHD_SHM_SEGMENT_H

#include "shm/plan.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WORKERS_MAX = 64,
    CACHE_LINE = 64,
    NODE_NAME_MAX = 64,
    KEPT_MAX = 2048 /* bytes of text: the keys that need a restart */
};

/* The bytes "wspushd\0" in memory. */
#define SEGMENT_MAGIC 0x0064687375707377ull

/* Determines the sizes of the regions. */
struct segment_shape {
    uint32_t workers;       /* slots, in use or not: 1 to WORKERS_MAX */
    uint32_t capacity;      /* records of the table: descriptors 0 to capacity - 1; at least
                               USERS_BUCKETS_MIN */
    uint32_t memberships;   /* of each worker in topics: records 0 to memberships - 1; at least
                               TOPICS_BUCKETS_MIN */
    uint32_t ring_size;     /* bytes of each ring: a power of two, whole pages */
    uint32_t link_in_size;  /* bytes of a link's input: a power of two, whole pages */
    uint32_t link_out_size; /* bytes of a link's output: a power of two, whole pages */
};

/* Written by the master before the first worker exists, and never afterwards, except for `plan`,
 * which workers follow, and `kept`, which only a master reads. */
struct segment_header {
    uint64_t magic;
    uint64_t layout;  /* layout_fingerprint() of the version that made it; at this offset always */
    uint32_t boot_id; /* random: identifies this segment, also in connection names */
    struct segment_shape shape;
    uint32_t own_fds;         /* lower descriptors are the server's own and stay open */
    uint64_t size;            /* bytes of the whole segment */
    uint64_t hash_seed;       /* random and secret: makes collisions in hash tables unpredictable */
    uint64_t started_ms;      /* when it was made: wall clock, ms */
    uint64_t began_ms;        /* the same time by CLOCK_MONOTONIC */
    _Atomic uint64_t plan;    /* plan.h: plan_pack */
    char node[NODE_NAME_MAX]; /* NUL-terminated */
    char kept[KEPT_MAX];      /* config_kept_text: the settings that an upgrade may not change */
};
_Static_assert(sizeof(struct segment_header) <= 4096, "the header fits its page");

struct board;
struct history;
struct slot;
struct stats;
struct ring_control;
struct conn;
struct address_entry;
struct kicks;
struct topic;
struct topic_member;

/* A process's view of the segment: its address of each region. */
struct segment {
    int fd;
    uint8_t *base;
    size_t size;   /* bytes of the segment */
    size_t mapped; /* bytes mapped at `base`: the regions before the rings' bytes */
    struct segment_header *header;
    struct board *board;
    struct history *history;
    struct slot *slot;
    struct stats *stats;
    struct ring_control *ring;
    struct conn *conn;
    _Atomic uint64_t *backlog;
    uint32_t *sent;
    uint32_t *siblings;
    struct kicks *kicks;
    uint32_t *heads;
    struct address_entry *addresses;
    uint32_t *topic_heads;
    struct topic *topic;
    struct topic_member *member;
    size_t ring_data; /* these three: offsets, for segment_mirror */
    size_t link_in;
    size_t link_out;
};

/* Acquire: pairs with the release in segment_set_plan. A worker that sees a phase sees what all
 * workers had done when the master began it. */
static inline struct plan segment_plan(const struct segment *segment)
{
    return plan_unpack(atomic_load_explicit(&segment->header->plan, memory_order_acquire));
}
/* Publishes the plan. For the master. */
static inline void segment_set_plan(const struct segment *segment, struct plan plan)
{
    atomic_store_explicit(&segment->header->plan, plan_pack(plan), memory_order_release);
}

/* Returns one more than the highest descriptor that any worker has owned. No higher record was ever
 * used, and none may be read: that would allocate its page. Acquire: pairs with the release in
 * worker_owns. */
uint32_t segment_high(const struct segment *segment);

/* Makes and maps a segment of this shape, with its header filled in and everything else zero; the
 * plan has all slots in use. The memfd has close-on-exec and its size is sealed. Returns 0, or -1
 * with errno (EINVAL: invalid shape; ENAMETOOLONG: `node` has NODE_NAME_MAX bytes or more). */
int segment_create(struct segment *segment, const struct segment_shape *shape, const char *node);

/* Maps an existing segment, after checking magic, layout and size. Takes `fd` on success. Returns
 * 0, or -1 with errno (EPROTO: not a segment, or of another layout). */
int segment_open(struct segment *segment, int fd);

/* Unmaps the segment and closes its descriptor. */
void segment_close(struct segment *segment);

/*
 * Maps `size` bytes at `offset` twice, one behind the other, so that bytes that wrap around the end
 * of a ring are contiguous:   [ 0 .. size ) [ 0 .. size )
 * Both numbers are multiples of the page size. Returns the first address, or NULL with errno. Never
 * unmapped: a worker needs it as long as it lives.
 */
uint8_t *segment_mirror(const struct segment *segment, size_t offset, size_t size);

/* Return the offset of the bytes of the ring from worker `from` to `to`, and its control block. */
size_t segment_ring_offset(const struct segment *segment, uint32_t from, uint32_t to);
struct ring_control *segment_ring_control(const struct segment *segment, uint32_t from,
                                          uint32_t to);

/* Return the offsets of the input and output bytes of a worker's link. */
size_t segment_link_in_offset(const struct segment *segment, uint32_t worker);
size_t segment_link_out_offset(const struct segment *segment, uint32_t worker);

/* Releases the memory of a slot that no process runs: what only its worker has used is zero again.
 * Its rings must be empty, and the controls of its index and topics zero. */
void segment_release(const struct segment *segment, uint32_t worker);

/* True if the header is one that segment_create writes. */
bool segment_valid(const struct segment *segment);

#endif
