/*
 * The shared segment: making, opening and mapping it. Where each region lies follows from the shape
 * alone, by one table, so the header keeps the shape and no offsets.
 *
 * The memfd is as large as the sum of the most that each region can need, and sparse: only pages
 * that were written exist. Its size is sealed, so that no process can pull pages away from under
 * another one's mapping (SIGBUS).
 *
 * Refuses a shape that would not work rather than mend it, and to open what is not a segment of
 * this layout: a successor binary with other structs must notice.
 */
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "shm/addresses.h"
#include "shm/board.h"
#include "shm/conn.h"
#include "shm/ring.h"
#include "shm/slot.h"
#include "shm/stats.h"
#include "shm/topics.h"
#include "shm/users.h"

/* The regions in their order: X(name, count, bytes of each), from a `const struct segment_shape
 * *shape`. */
#define REGIONS(X)                                                                               \
    X(HEADER, 1, sizeof(struct segment_header))                                                  \
    X(BOARD, 1, sizeof(struct board))                                                            \
    X(SLOTS, shape->workers, sizeof(struct slot))                                                \
    X(STATS, shape->workers, sizeof(struct stats))                                               \
    X(RINGS, shape->workers * shape->workers, sizeof(struct ring_control))                       \
    X(CONNS, shape->capacity, sizeof(struct conn))                                               \
    X(BACKLOGS, shape->capacity, sizeof(uint64_t))                                               \
    X(SENT, shape->capacity, sizeof(uint32_t))                                                   \
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

struct layout {
    size_t offset[REGION_COUNT];
    size_t size;
};

/* No sum or product in layout_of can overflow for shapes of 32-bit fields and few workers: the
 * largest region, of rings, is 2^12 times 2^31 bytes. */
_Static_assert(sizeof(size_t) == 8, "a 64-bit address space");
_Static_assert(WORKERS_MAX <= 1 << 6, "workers^2 times 2^32 bytes is far below 2^63");

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static bool buffer_size_valid(uint32_t size)
{
    return size >= page_size() && (size & (size - 1)) == 0;
}

static bool shape_valid(const struct segment_shape *shape)
{
    return shape->workers >= 1 && shape->workers <= WORKERS_MAX &&
           shape->capacity >= USERS_BUCKETS_MIN && shape->memberships >= TOPICS_BUCKETS_MIN &&
           buffer_size_valid(shape->ring_size) && buffer_size_valid(shape->link_in_size) &&
           buffer_size_valid(shape->link_out_size);
}

/* Of a valid shape. */
static struct layout layout_of(const struct segment_shape *shape)
{
    const size_t page = page_size();
    const size_t region_bytes[REGION_COUNT] = {
#define REGION_BYTES(name, count, bytes) (size_t)(count) * (bytes),
        REGIONS(REGION_BYTES)
#undef REGION_BYTES
    };
    struct layout layout = {.size = 0};

    for (size_t i = 0; i < REGION_COUNT; i++) {
        layout.offset[i] = layout.size;
        layout.size += (region_bytes[i] + page - 1) / page * page;
    }
    return layout;
}

/* Maps the regions that are used where they lie, and notes where all of them are. The bytes of
 * rings and links, most of the segment, are mapped by who uses them (segment_mirror). */
static int map_regions(struct segment *segment, int fd, const struct layout *layout)
{
    const size_t mapped = layout->offset[REGION_RING_DATA];
    uint8_t *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return -1;
    *segment = (struct segment){
        .fd = fd,
        .base = base,
        .size = layout->size,
        .mapped = mapped,
        .header = (void *)(base + layout->offset[REGION_HEADER]),
        .board = (void *)(base + layout->offset[REGION_BOARD]),
        .slot = (void *)(base + layout->offset[REGION_SLOTS]),
        .stats = (void *)(base + layout->offset[REGION_STATS]),
        .ring = (void *)(base + layout->offset[REGION_RINGS]),
        .conn = (void *)(base + layout->offset[REGION_CONNS]),
        .backlog = (void *)(base + layout->offset[REGION_BACKLOGS]),
        .sent = (void *)(base + layout->offset[REGION_SENT]),
        .heads = (void *)(base + layout->offset[REGION_HEADS]),
        .addresses = (void *)(base + layout->offset[REGION_ADDRESSES]),
        .topic_heads = (void *)(base + layout->offset[REGION_TOPIC_HEADS]),
        .topic = (void *)(base + layout->offset[REGION_TOPICS]),
        .member = (void *)(base + layout->offset[REGION_MEMBERS]),
        .ring_data = layout->offset[REGION_RING_DATA],
        .link_in = layout->offset[REGION_LINK_IN],
        .link_out = layout->offset[REGION_LINK_OUT],
    };
    return 0;
}

/* What getrandom(2) gives, whole: it never cuts so few bytes short. */
struct secrets {
    uint64_t hash_seed;
    uint32_t boot_id;
    uint32_t unused;
};

/* Closes what is of no use, and returns -1 with the errno that there was. */
static int give_up(int fd)
{
    const int saved = errno;

    close(fd);
    errno = saved;
    return -1;
}

/* A memfd of this size, which can never change. Returns it, or -1 with errno. */
static int make_sealed(size_t size)
{
    const int fd = memfd_create("wspushd", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd == -1)
        return -1;
    if (ftruncate(fd, (off_t)size) == -1 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == -1)
        return give_up(fd);
    return fd;
}

static void write_header(const struct segment *segment, const struct segment_shape *shape,
                         const struct secrets *secrets, const char *node)
{
    *segment->header = (struct segment_header){
        .magic = SEGMENT_MAGIC,
        .layout = SEGMENT_LAYOUT,
        .boot_id = secrets->boot_id,
        .shape = *shape,
        .size = segment->size,
        .hash_seed = secrets->hash_seed,
        .started_ms = clock_wall_ms(),
        .plan = plan_pack((struct plan){.active = shape->workers, .other = shape->workers}),
    };
    strcpy(segment->header->node, node); /* segment_create has measured it */
}

int segment_create(struct segment *segment, const struct segment_shape *shape, const char *node)
{
    struct secrets secrets;
    struct layout layout;
    int fd;

    if (!shape_valid(shape) || strlen(node) >= NODE_NAME_MAX) {
        errno = shape_valid(shape) ? ENAMETOOLONG : EINVAL;
        return -1;
    }
    if (getrandom(&secrets, sizeof(secrets), 0) == -1)
        return -1;
    layout = layout_of(shape);
    fd = make_sealed(layout.size);
    if (fd == -1)
        return -1;
    if (map_regions(segment, fd, &layout) == -1)
        return give_up(fd);
    write_header(segment, shape, &secrets, node);
    return 0;
}

static bool plan_valid(struct plan plan, uint32_t slots)
{
    return plan.phase < PLAN_PHASE_COUNT && plan.active >= 1 && plan.active <= slots &&
           plan.other >= 1 && plan.other <= slots;
}

static bool header_valid(const struct segment_header *header)
{
    return header->magic == SEGMENT_MAGIC && header->layout == SEGMENT_LAYOUT &&
           shape_valid(&header->shape) && header->size == layout_of(&header->shape).size &&
           plan_valid(plan_unpack(atomic_load(&header->plan)), header->shape.workers) &&
           memchr(header->node, '\0', sizeof(header->node)) != NULL;
}

int segment_open(struct segment *segment, int fd)
{
    struct segment_header header;
    struct layout layout;
    struct stat file;
    ssize_t got;

    if (fstat(fd, &file) == -1)
        return -1;
    got = pread(fd, &header, sizeof(header), 0);
    if (got == -1)
        return -1;
    if (got != (ssize_t)sizeof(header) || !header_valid(&header) ||
        header.size != (uint64_t)file.st_size) {
        errno = EPROTO;
        return -1;
    }
    layout = layout_of(&header.shape);
    return map_regions(segment, fd, &layout);
}

void segment_close(struct segment *segment)
{
    munmap(segment->base, segment->mapped);
    close(segment->fd);
    *segment = (struct segment){.fd = -1};
}

uint8_t *segment_mirror(const struct segment *segment, size_t offset, size_t size)
{
    const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
    int saved;

    /* Reserve both halves at once, so that nothing else can come to lie behind the first. */
    uint8_t *at =
        mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    if (mmap(at, size, prot, flags, segment->fd, (off_t)offset) != MAP_FAILED &&
        mmap(at + size, size, prot, flags, segment->fd, (off_t)offset) != MAP_FAILED)
        return at;
    saved = errno;
    munmap(at, 2 * size);
    errno = saved;
    return NULL;
}

/* The number of the ring between two workers in the arrays of all rings. */
static size_t ring_index(const struct segment *segment, uint32_t from, uint32_t to)
{
    return (size_t)from * segment->header->shape.workers + to;
}

size_t segment_ring_offset(const struct segment *segment, uint32_t from, uint32_t to)
{
    return segment->ring_data + ring_index(segment, from, to) * segment->header->shape.ring_size;
}

struct ring_control *segment_ring_control(const struct segment *segment, uint32_t from, uint32_t to)
{
    return &segment->ring[ring_index(segment, from, to)];
}

size_t segment_link_in_offset(const struct segment *segment, uint32_t worker)
{
    return segment->link_in + (size_t)worker * segment->header->shape.link_in_size;
}

size_t segment_link_out_offset(const struct segment *segment, uint32_t worker)
{
    return segment->link_out + (size_t)worker * segment->header->shape.link_out_size;
}

/* Gives the memory of element `i` of a region back. */
static void punch(const struct segment *segment, enum region region, size_t i)
{
    const struct segment_shape *const shape = &segment->header->shape;
    const size_t element_bytes[REGION_COUNT] = {
#define ELEMENT_BYTES(name, count, bytes) (bytes),
        REGIONS(ELEMENT_BYTES)
#undef ELEMENT_BYTES
    };
    const size_t bytes = element_bytes[region];

    /* Where it cannot be done the memory stays, and is used as it is. */
    (void)!fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)(layout_of(shape).offset[region] + i * bytes), (off_t)bytes);
}

void segment_release(const struct segment *segment, uint32_t worker)
{
    static const enum region of_slot[] = {REGION_HEADS,   REGION_ADDRESSES, REGION_TOPIC_HEADS,
                                          REGION_TOPICS,  REGION_MEMBERS,   REGION_LINK_IN,
                                          REGION_LINK_OUT};

    for (size_t i = 0; i < sizeof(of_slot) / sizeof(of_slot[0]); i++)
        punch(segment, of_slot[i], worker);
    for (uint32_t i = 0; i < segment->header->shape.workers; i++) {
        punch(segment, REGION_RING_DATA, ring_index(segment, worker, i));
        punch(segment, REGION_RING_DATA, ring_index(segment, i, worker));
    }
}

bool segment_valid(const struct segment *segment)
{
    return header_valid(segment->header) && segment->header->size == segment->size;
}

uint32_t segment_high(const struct segment *segment)
{
    uint32_t high = 0;
    for (uint32_t i = 0; i < segment->header->shape.workers; i++) {
        const uint32_t own = atomic_load_explicit(&segment->slot[i].high, memory_order_acquire);
        high = own > high ? own : high;
    }
    return high;
}
