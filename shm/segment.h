/*
 * The shared segment: one memfd that the master makes before it forks the first worker, mapped
 * by every process. It holds all that must outlive a worker.
 *
 *   offset 0
 *   +------------------+  struct segment_header: what is below, and the plan; the master's
 *   | header           |
 *   +------------------+  struct board: what the master tells all workers        (board.h)
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
 *   +------------------+  uint64_t[capacity]: bytes that wait, by descriptor     (backlog.h)
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
 * Every region begins on a page. Pages that nobody has touched cost nothing, so the regions are
 * sized for the most that can be. There are offsets and indices in here and no pointers: each
 * process maps the segment where it likes.
 *
 * The law: every word has one writer, named where it is declared. Nothing is ever locked, so a
 * process that dies leaves nothing locked. tests/unit/test_segment.c holds the layout.
 *
 * README.md of this folder says what to do when a stored struct changes.
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
    KEPT_MAX = 2048 /* text of the keys that need a restart */
};

/* "wspushd\0" as it lies in memory. */
#define SEGMENT_MAGIC 0x0064687375707377ull

/* What the sizes of the regions follow from. */
struct segment_shape {
    uint32_t workers;       /* slots that there are, in use or not: 1 to WORKERS_MAX */
    uint32_t capacity;      /* records of the table: descriptors 0 to capacity - 1; at least
                               USERS_BUCKETS_MIN */
    uint32_t memberships;   /* of each worker in topics: records 0 to memberships - 1; at least
                               TOPICS_BUCKETS_MIN */
    uint32_t ring_size;     /* bytes of each ring: a power of two, whole pages */
    uint32_t link_in_size;  /* bytes of a link's input: a power of two, whole pages */
    uint32_t link_out_size; /* bytes of a link's output: a power of two, whole pages */
};

/* Written by the master before the first worker exists, and never after; but for `plan`, which
 * workers follow, and `kept`, which only a master reads. */
struct segment_header {
    uint64_t magic;
    uint64_t layout;  /* layout_fingerprint() of the version that made it; here in every layout */
    uint32_t boot_id; /* random: tells this segment from every other, in connection names too */
    struct segment_shape shape;
    uint32_t own_fds;         /* descriptors below it are the server's own and stay open */
    uint64_t size;            /* bytes of the whole segment */
    uint64_t hash_seed;       /* of the user index: random, so that nobody can make users collide */
    uint64_t started_ms;      /* when it was made: wall clock, ms */
    uint64_t began_ms;        /* the same by CLOCK_MONOTONIC, which nobody sets */
    _Atomic uint64_t plan;    /* plan.h: plan_pack */
    char node[NODE_NAME_MAX]; /* NUL-terminated */
    char kept[KEPT_MAX];      /* config_kept_text: what an upgrade may not change */
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

/* A process's view of the segment: where it has mapped each region. */
struct segment {
    int fd;
    uint8_t *base;
    size_t size;   /* of the whole */
    size_t mapped; /* of the regions before the rings' bytes: those are mapped by pairs */
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
    size_t ring_data; /* offsets, for segment_mirror */
    size_t link_in;
    size_t link_out;
};

/* Acquire: pairs with the release in segment_set_plan. Who sees a phase sees what all workers had
 * done when the master began it. */
static inline struct plan segment_plan(const struct segment *segment)
{
    return plan_unpack(atomic_load_explicit(&segment->header->plan, memory_order_acquire));
}
static inline void segment_set_plan(const struct segment *segment, struct plan plan)
{
    atomic_store_explicit(&segment->header->plan, plan_pack(plan), memory_order_release);
}

/* One more than the highest descriptor that any worker has owned. From there on no record was ever
 * used, nor is to be read: that would give it a page. Acquire: pairs with the release in
 * worker_owns. */
uint32_t segment_high(const struct segment *segment);

/* Makes and maps a segment of this shape with its header filled in, everything else zero; the plan
 * has all slots in use. Returns 0, or -1 with errno (EINVAL: a shape that cannot be; ENAMETOOLONG:
 * NODE_NAME_MAX bytes or more). memfd_create(2), with close-on-exec; its size is sealed. */
int segment_create(struct segment *segment, const struct segment_shape *shape, const char *node);

/* Maps an existing one, after checking magic, layout and size. Returns 0, or -1 with errno (EPROTO:
 * it is not one of ours, or of another layout). Takes `fd` on success. */
int segment_open(struct segment *segment, int fd);

/* Unmaps, and closes the descriptor. */
void segment_close(struct segment *segment);

/*
 * Maps `size` bytes at `offset` twice, one behind the other, so that bytes that wrap round
 * the end of a ring lie in one piece:   [ 0 .. size ) [ 0 .. size )
 * Both are multiples of the page size. Returns the first, or NULL with errno. Never unmapped: a
 * worker needs it as long as it lives.
 */
uint8_t *segment_mirror(const struct segment *segment, size_t offset, size_t size);

/* Where the bytes of the ring from worker `from` to worker `to` lie, and its control block. */
size_t segment_ring_offset(const struct segment *segment, uint32_t from, uint32_t to);
struct ring_control *segment_ring_control(const struct segment *segment, uint32_t from,
                                          uint32_t to);

/* Where the input and output bytes of a worker's link lie. */
size_t segment_link_in_offset(const struct segment *segment, uint32_t worker);
size_t segment_link_out_offset(const struct segment *segment, uint32_t worker);

/* Gives the memory of a slot that nobody runs back: what only it has read or written is zero again.
 * Its rings are empty, and its controls say that nothing was ever there. */
void segment_release(const struct segment *segment, uint32_t worker);

/* Whether the header is one that segment_create writes. */
bool segment_valid(const struct segment *segment);

#endif
