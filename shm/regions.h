/*
 * The one table of the segment's regions (drawn in segment.h). Their offsets follow from the
 * segment's shape and from the sizes of the stored structs. For segment.c and migrate.c.
 */
#ifndef WSPUSHD_SHM_REGIONS_H
#define WSPUSHD_SHM_REGIONS_H

#include "shm/addresses.h"
#include "shm/board.h"
#include "shm/conn.h"
#include "shm/history.h"
#include "shm/kicks.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "shm/slot.h"
#include "shm/stats.h"
#include "shm/topics.h"

/* The regions in their order: X(name, count of elements, bytes of each), computed from a
 * `const struct segment_shape *shape`. */
#define REGIONS(X)                                                                               \
    X(HEADER, 1, sizeof(struct segment_header))                                                  \
    X(BOARD, 1, sizeof(struct board))                                                            \
    X(HISTORY, 1, sizeof(struct history))                                                        \
    X(SLOTS, shape->workers, sizeof(struct slot))                                                \
    X(STATS, shape->workers, sizeof(struct stats))                                               \
    X(RINGS, shape->workers * shape->workers, sizeof(struct ring_control))                       \
    X(CONNS, shape->capacity, sizeof(struct conn))                                               \
    X(BACKLOGS, shape->capacity, sizeof(uint64_t))                                               \
    X(SENT, shape->capacity, sizeof(uint32_t))                                                   \
    X(SIBLINGS, shape->capacity, sizeof(uint32_t))                                               \
    X(KICKS, 1, sizeof(struct kicks))                                                            \
    X(HEADS, shape->workers, shape->capacity * sizeof(uint32_t))                                 \
    X(ADDRESSES, shape->workers, addresses_size(shape->capacity) * sizeof(struct address_entry)) \
    X(TOPIC_HEADS, shape->workers, shape->memberships * sizeof(uint32_t))                        \
    X(TOPICS, shape->workers, shape->memberships * sizeof(struct topic))                         \
    X(MEMBERS, shape->workers, shape->memberships * sizeof(struct topic_member))                 \
    X(RING_DATA, shape->workers * shape->workers, shape->ring_size)                              \
    X(LINK_IN, shape->workers, shape->link_in_size)                                              \
    X(LINK_OUT, shape->workers, shape->link_out_size)

enum region {
#define REGION_ENUM(name, count, bytes) REGION_##name,
    REGIONS(REGION_ENUM)
#undef REGION_ENUM
        REGION_COUNT
};

/* The offsets and sizes of one segment's regions, in bytes. */
struct regions {
    size_t count[REGION_COUNT];         /* elements */
    size_t element_bytes[REGION_COUNT]; /* of each */
    size_t offset[REGION_COUNT + 1];    /* the last: the size of the segment */
};

/* Returns the regions of a segment of this shape, which must be valid, with elements of the size of
 * this version's structs. */
struct regions regions_of(const struct segment_shape *shape);

/* Computes the offsets after element_bytes has changed. Regions begin on pages. */
void regions_lay_out(struct regions *regions);

#endif
