/*
 * See migrate.h. A region whose structs are as they were is copied as bytes, and of those only what
 * was ever written: a segment is mostly holes (lseek(2), SEEK_DATA). Positions, descriptors and
 * numbers of records mean in the new one what they meant in the old.
 *
 * Changes nothing in the old segment: where it fails, that is still what it was.
 */
#include "shm/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/layout2.h"
#include "shm/stats.h"

enum { COPY_PIECE = 1 << 20 /* bytes copied at once */ };

/* ---- Bytes ---- */

static int copy_piece(int from, off_t from_at, int to, off_t to_at, size_t size)
{
    static uint8_t piece[COPY_PIECE];

    while (size > 0) {
        const ssize_t n = pread(from, piece, size < sizeof(piece) ? size : sizeof(piece), from_at);

        if (n <= 0 || pwrite(to, piece, (size_t)n, to_at) != n)
            return -1;
        from_at += n;
        to_at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Copies what was ever written of `size` bytes at `from_at`. The new segment has zeros there. */
static int copy(int from, size_t from_at, int to, size_t to_at, size_t size)
{
    const off_t shift = (off_t)to_at - (off_t)from_at, end = (off_t)(from_at + size);

    for (off_t at = (off_t)from_at; at < end;) {
        const off_t data = lseek(from, at, SEEK_DATA);
        off_t hole;

        if (data == -1)
            return errno == ENXIO ? 0 : -1; /* only holes from here on */
        if (data >= end)
            return 0;
        hole = lseek(from, data, SEEK_HOLE);
        if (hole == -1)
            return -1;
        hole = hole < end ? hole : end;
        if (copy_piece(from, data, to, data + shift, (size_t)(hole - data)) == -1)
            return -1;
        at = hole;
    }
    return 0;
}

/* ---- From layout 2 ---- */

enum region2 {
#define REGION2_ENUM(name, count, bytes) REGION2_##name,
    REGIONS2(REGION2_ENUM)
#undef REGION2_ENUM
        REGION2_COUNT
};

/* An old segment, mapped to be read. */
struct old {
    int fd;
    uint8_t *base;
    const struct header2 *header;
    size_t offset[REGION2_COUNT + 1]; /* the last: its size */
};

static void lay_out(struct old *old)
{
    const struct segment_shape *const shape = &old->header->shape;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes[REGION2_COUNT] = {
#define REGION2_BYTES(name, count, size) (size_t)(count) * (size),
        REGIONS2(REGION2_BYTES)
#undef REGION2_BYTES
    };

    old->offset[0] = 0;
    for (size_t i = 0; i < REGION2_COUNT; i++)
        old->offset[i + 1] = old->offset[i] + (bytes[i] + page - 1) / page * page;
}

static void carry_link(struct slot_link *to, const struct link2 *from, const struct link2 *home)
{
#define CARRY(type, name) to->name = from->name;
    LINK2_FIELDS(CARRY)
#undef CARRY
    /* What is up was healed of every failure, and its clients were told of it. */
    to->healed = from->state == LINK_UP ? from->failures : from->failures - 1;
    to->home_told = home->state == LINK_UP ? home->failures : home->failures - 1;
}

static void carry_slot(struct slot *to, const struct slot2 *from, const struct link2 *home)
{
#define CARRY(type, name) to->name = from->name;
    SLOT2_MASTERS(CARRY)
    SLOT2_WORKERS(CARRY)
#undef CARRY
    carry_link(&to->link, &from->link, home);
    to->topics = from->topics;
    memcpy(to->aux, from->aux, sizeof(to->aux));
    to->handshakes = from->handshakes;
}

static void carry_stats(struct stats *to, const struct stats2 *from)
{
#define CARRY(field) to->field = from->field;
    STATS2(CARRY)
#undef CARRY
}

static void carry_structs(const struct segment *to, const struct old *old)
{
    const struct slot2 *slot = (const void *)(old->base + old->offset[REGION2_SLOTS]);
    const struct stats2 *stats = (const void *)(old->base + old->offset[REGION2_STATS]);

    for (uint32_t i = 0; i < old->header->shape.workers; i++) {
        carry_slot(&to->slot[i], &slot[i], &slot[0].link);
        carry_stats(&to->stats[i], &stats[i]);
    }
}

/* Where a region of the new segment begins. */
static size_t place(const struct segment *to, const void *at)
{
    return (size_t)((const uint8_t *)at - to->base);
}

static int carry_regions(const struct segment *to, const struct old *old)
{
    const struct {
        enum region2 from;
        size_t at;
    } regions[] = {
        {REGION2_RINGS, place(to, to->ring)},
        {REGION2_CONNS, place(to, to->conn)},
        {REGION2_HEADS, place(to, to->heads)},
        {REGION2_ADDRESSES, place(to, to->addresses)},
        {REGION2_TOPIC_HEADS, place(to, to->topic_heads)},
        {REGION2_TOPICS, place(to, to->topic)},
        {REGION2_MEMBERS, place(to, to->member)},
        {REGION2_RING_DATA, segment_ring_offset(to, 0, 0)},
        {REGION2_LINK_IN, segment_link_in_offset(to, 0)},
        {REGION2_LINK_OUT, segment_link_out_offset(to, 0)},
    };

    _Static_assert(sizeof(regions) / sizeof(regions[0]) + 3 == REGION2_COUNT,
                   "all but the header, the slots and the counters");
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        const size_t begins = old->offset[regions[i].from];
        const size_t size = old->offset[regions[i].from + 1] - begins;

        if (copy(old->fd, begins, to->fd, regions[i].at, size) == -1)
            return -1;
    }
    return 0;
}

/* Connections' names, hashes and the age of the server stay what they were. */
static void carry_header(const struct segment *to, const struct header2 *from)
{
    to->header->boot_id = from->boot_id;
    to->header->own_fds = from->own_fds;
    to->header->hash_seed = from->hash_seed;
    to->header->started_ms = from->started_ms;
    memcpy(to->header->kept, from->kept, sizeof(to->header->kept));
}

static int carry_old(struct segment *segment, const struct old *old)
{
    char node[NODE_NAME_MAX];

    memcpy(node, old->header->node, sizeof(node));
    node[sizeof(node) - 1] = '\0';
    if (segment_create(segment, &old->header->shape, node) == -1)
        return -1;
    carry_header(segment, old->header);
    carry_structs(segment, old);
    if (carry_regions(segment, old) == 0)
        return 0;
    segment_close(segment);
    return -1;
}

/* A shape that cannot be, segment_create refuses; a size that does not belong to it, this does. */
static int from_2(struct segment *segment, int fd, size_t size)
{
    struct old old = {.fd = fd};
    int done = -1;

    if (size < sizeof(struct header2)) {
        errno = EPROTO;
        return -1;
    }
    old.base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (old.base == MAP_FAILED)
        return -1;
    old.header = (const void *)old.base;
    lay_out(&old);
    if (old.offset[REGION2_COUNT] == size && old.header->size == size)
        done = carry_old(segment, &old);
    else
        errno = EPROTO;
    munmap(old.base, size);
    return done;
}

/* ---- The table ---- */

#ifdef MIGRATE_SAME
/* For tests: a binary whose layout has another number, and the same structs. */
static int from_same(struct segment *segment, int fd, size_t size)
{
    const uint32_t layout = SEGMENT_LAYOUT;
    const int to = memfd_create("wspushd", MFD_CLOEXEC);

    if (to == -1 || ftruncate(to, (off_t)size) == -1 || copy(fd, 0, to, 0, size) == -1 ||
        pwrite(to, &layout, sizeof(layout), offsetof(struct segment_header, layout)) == -1)
        return -1;
    return segment_open(segment, to);
}
#endif

static const struct {
    uint32_t from, to;
    int (*carry)(struct segment *segment, int fd, size_t size);
} rows[] = {
    {2, 3, from_2},
#ifdef MIGRATE_SAME
    {MIGRATE_SAME, SEGMENT_LAYOUT, from_same},
#endif
};

/* What every layout begins with. */
struct preamble {
    uint64_t magic;
    uint32_t layout;
};
_Static_assert(offsetof(struct segment_header, layout) == offsetof(struct preamble, layout),
               "as in every layout");

static int carry(struct segment *segment, int fd, uint32_t layout, size_t size)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].from == layout && rows[i].to == SEGMENT_LAYOUT)
            return rows[i].carry(segment, fd, size);
    errno = EPROTO;
    return -1;
}

int migrate_open(struct segment *segment, int fd)
{
    struct preamble preamble;
    struct stat file;

    if (fstat(fd, &file) == -1)
        return -1;
    if (pread(fd, &preamble, sizeof(preamble), 0) != sizeof(preamble) ||
        preamble.magic != SEGMENT_MAGIC) {
        errno = EPROTO;
        return -1;
    }
    if (preamble.layout == SEGMENT_LAYOUT)
        return segment_open(segment, fd) == -1 ? -1 : (int)preamble.layout;
    if (carry(segment, fd, preamble.layout, (size_t)file.st_size) == -1)
        return -1;
    close(fd);
    return (int)preamble.layout;
}
