/*
 * The shared segment: making, opening and mapping it. The offsets of the regions follow from the
 * shape alone (regions.h), so the header keeps the shape and no offsets.
 *
 * The memfd has the size of all regions at their maximum, and is sparse: only pages that were
 * written exist. Its size is sealed, so that no process can truncate another one's mapping
 * (SIGBUS).
 *
 * Refuses an invalid shape instead of correcting it, and refuses to open anything but a segment of
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
#include "shm/layout.h"
#include "shm/regions.h"
#include "shm/users.h"

static size_t memory_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static bool buffer_size_valid(uint32_t size)
{
    return size >= memory_page_size() && (size & (size - 1)) == 0;
}

static bool segment_shape_valid(const struct segment_shape *shape)
{
    return shape->workers >= 1 && shape->workers <= WORKERS_MAX &&
           shape->capacity >= USERS_BUCKETS_MIN && shape->memberships >= TOPICS_BUCKETS_MIN &&
           buffer_size_valid(shape->ring_size) && buffer_size_valid(shape->link_in_size) &&
           buffer_size_valid(shape->link_out_size);
}

/* Maps the regions that are used in place, and notes the offsets of the others. The bytes of rings
 * and links, most of the segment, are mapped by the workers that use them (segment_mirror). */
static int map_segment_regions(struct segment *segment, int fd, const struct regions *regions)
{
    const size_t mapped = regions->offset[REGION_RING_DATA];
    uint8_t *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return -1;
    *segment = (struct segment){
        .fd = fd,
        .base = base,
        .size = regions->offset[REGION_COUNT],
        .mapped = mapped,
        .header = (void *)(base + regions->offset[REGION_HEADER]),
        .board = (void *)(base + regions->offset[REGION_BOARD]),
        .history = (void *)(base + regions->offset[REGION_HISTORY]),
        .slot = (void *)(base + regions->offset[REGION_SLOTS]),
        .stats = (void *)(base + regions->offset[REGION_STATS]),
        .ring = (void *)(base + regions->offset[REGION_RINGS]),
        .conn = (void *)(base + regions->offset[REGION_CONNS]),
        .backlog = (void *)(base + regions->offset[REGION_BACKLOGS]),
        .sent = (void *)(base + regions->offset[REGION_SENT]),
        .siblings = (void *)(base + regions->offset[REGION_SIBLINGS]),
        .kicks = (void *)(base + regions->offset[REGION_KICKS]),
        .heads = (void *)(base + regions->offset[REGION_HEADS]),
        .addresses = (void *)(base + regions->offset[REGION_ADDRESSES]),
        .topic_heads = (void *)(base + regions->offset[REGION_TOPIC_HEADS]),
        .topic = (void *)(base + regions->offset[REGION_TOPICS]),
        .member = (void *)(base + regions->offset[REGION_MEMBERS]),
        .ring_data = regions->offset[REGION_RING_DATA],
        .link_in = regions->offset[REGION_LINK_IN],
        .link_out = regions->offset[REGION_LINK_OUT],
    };
    return 0;
}

/* Filled by one getrandom(2), which never returns fewer than 256 bytes if asked for no more. */
struct secrets {
    uint64_t hash_seed;
    uint32_t boot_id;
    uint32_t unused;
};

/* Closes the descriptor. Returns -1, and keeps errno. */
static int close_keeping_errno(int fd)
{
    const int saved = errno;

    close(fd);
    errno = saved;
    return -1;
}

/* Makes a memfd whose size can never change. Returns it, or -1 with errno. */
static int make_sealed_memfd(size_t size)
{
    const int fd = memfd_create("wspushd", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd == -1)
        return -1;
    if (ftruncate(fd, (off_t)size) == -1 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == -1)
        return close_keeping_errno(fd);
    return fd;
}

static void write_segment_header(const struct segment *segment, const struct segment_shape *shape,
                                 const struct secrets *secrets, const char *node)
{
    *segment->header = (struct segment_header){
        .magic = SEGMENT_MAGIC,
        .layout = layout_fingerprint(),
        .boot_id = secrets->boot_id,
        .shape = *shape,
        .size = segment->size,
        .hash_seed = secrets->hash_seed,
        .started_ms = clock_wall_ms(),
        .began_ms = clock_mono_ms(),
        .plan = plan_pack((struct plan){.active = shape->workers, .other = shape->workers}),
    };
    strcpy(segment->header->node, node); /* segment_create has checked its length */
}

int segment_create(struct segment *segment, const struct segment_shape *shape, const char *node)
{
    struct secrets secrets;
    struct regions regions;
    int fd;

    if (!segment_shape_valid(shape) || strlen(node) >= NODE_NAME_MAX) {
        errno = segment_shape_valid(shape) ? ENAMETOOLONG : EINVAL;
        return -1;
    }
    if (getrandom(&secrets, sizeof(secrets), 0) == -1)
        return -1;
    regions = regions_of(shape);
    fd = make_sealed_memfd(regions.offset[REGION_COUNT]);
    if (fd == -1)
        return -1;
    if (map_segment_regions(segment, fd, &regions) == -1)
        return close_keeping_errno(fd);
    write_segment_header(segment, shape, &secrets, node);
    return 0;
}

static bool plan_fits_slots(struct plan plan, uint32_t slots)
{
    return plan.phase < PLAN_PHASE_COUNT && plan.active >= 1 && plan.active <= slots &&
           plan.other >= 1 && plan.other <= slots;
}

static bool segment_header_valid(const struct segment_header *header)
{
    return header->magic == SEGMENT_MAGIC && header->layout == layout_fingerprint() &&
           segment_shape_valid(&header->shape) &&
           header->size == regions_of(&header->shape).offset[REGION_COUNT] &&
           plan_fits_slots(plan_unpack(atomic_load(&header->plan)), header->shape.workers) &&
           memchr(header->node, '\0', sizeof(header->node)) != NULL;
}

int segment_open(struct segment *segment, int fd)
{
    struct segment_header header;
    struct regions regions;
    struct stat file;
    ssize_t got;

    if (fstat(fd, &file) == -1)
        return -1;
    got = pread(fd, &header, sizeof(header), 0);
    if (got == -1)
        return -1;
    if (got != (ssize_t)sizeof(header) || !segment_header_valid(&header) ||
        header.size != (uint64_t)file.st_size) {
        errno = EPROTO;
        return -1;
    }
    regions = regions_of(&header.shape);
    return map_segment_regions(segment, fd, &regions);
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

    /* Reserve both halves at once, so that no other mapping gets the place behind the first. */
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

/* Returns the index of the ring between two workers in the arrays of all rings. */
static size_t ring_index_between(const struct segment *segment, uint32_t from, uint32_t to)
{
    return (size_t)from * segment->header->shape.workers + to;
}

size_t segment_ring_offset(const struct segment *segment, uint32_t from, uint32_t to)
{
    return segment->ring_data +
           ring_index_between(segment, from, to) * segment->header->shape.ring_size;
}

struct ring_control *segment_ring_control(const struct segment *segment, uint32_t from, uint32_t to)
{
    return &segment->ring[ring_index_between(segment, from, to)];
}

size_t segment_link_in_offset(const struct segment *segment, uint32_t worker)
{
    return segment->link_in + (size_t)worker * segment->header->shape.link_in_size;
}

size_t segment_link_out_offset(const struct segment *segment, uint32_t worker)
{
    return segment->link_out + (size_t)worker * segment->header->shape.link_out_size;
}

/* Releases the memory of element `i` of a region. */
static void punch_region_element(const struct segment *segment, enum region region, size_t i)
{
    const struct regions regions = regions_of(&segment->header->shape);
    const size_t bytes = regions.element_bytes[region];

    /* If this fails the memory is kept, and works as it is. */
    (void)!fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)(regions.offset[region] + i * bytes), (off_t)bytes);
}

void segment_release(const struct segment *segment, uint32_t worker)
{
    static const enum region of_slot[] = {REGION_HEADS,   REGION_ADDRESSES, REGION_TOPIC_HEADS,
                                          REGION_TOPICS,  REGION_MEMBERS,   REGION_LINK_IN,
                                          REGION_LINK_OUT};

    for (size_t i = 0; i < sizeof(of_slot) / sizeof(of_slot[0]); i++)
        punch_region_element(segment, of_slot[i], worker);
    for (uint32_t i = 0; i < segment->header->shape.workers; i++) {
        punch_region_element(segment, REGION_RING_DATA, ring_index_between(segment, worker, i));
        punch_region_element(segment, REGION_RING_DATA, ring_index_between(segment, i, worker));
    }
}

bool segment_valid(const struct segment *segment)
{
    return segment_header_valid(segment->header) && segment->header->size == segment->size;
}

uint32_t segment_high(const struct segment *segment)
{
    uint32_t high = 0;
    for (uint32_t i = 0; i < segment->header->shape.workers; i++) {
        const uint32_t own = atomic_load_explicit(&segment->slot[i].high, memory_order_acquire);
        high = own > high ? own : high;
    }
    return high < segment->header->shape.capacity ? high : segment->header->shape.capacity;
}
