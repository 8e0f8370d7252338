/*
 * See migrate.h. Copies only data that was ever written: a segment is mostly holes (lseek(2),
 * SEEK_DATA). Positions, descriptors and numbers of records mean the same in the new segment as in
 * the old one.
 *
 * Changes nothing in the old segment, which remains usable after a failure.
 */
#include "shm/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/layout.h"

enum { COPY_PIECE = 1 << 20 /* bytes copied at once */ };

/* ---- Bytes ---- */

static int copy_file_bytes(int from, off_t from_at, int to, off_t to_at, size_t size)
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

/* Copies those of the `size` bytes at `from_at` that were ever written. The rest of the new segment
 * is zero already. */
static int copy_written_bytes(int from, size_t from_at, int to, size_t to_at, size_t size)
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
        if (copy_file_bytes(from, data, to, data + shift, (size_t)(hole - data)) == -1)
            return -1;
        at = hole;
    }
    return 0;
}

/* ---- Regions ---- */

/* Copies a region whose elements have grown, one element at a time. */
static int copy_region_elements(int from, const struct regions *old, int to,
                                const struct regions *new, enum region region)
{
    const size_t old_bytes = old->element_bytes[region], new_bytes = new->element_bytes[region];

    for (size_t i = 0; i < old->count[region]; i++)
        if (copy_written_bytes(from, old->offset[region] + i * old_bytes, to,
                               new->offset[region] + i *new_bytes, old_bytes) == -1)
            return -1;
    return 0;
}

static int copy_one_region(int from, const struct regions *old, int to, const struct regions *new,
                           enum region region)
{
    if (old->element_bytes[region] != new->element_bytes[region])
        return copy_region_elements(from, old, to, new, region);
    return copy_written_bytes(from, old->offset[region], to, new->offset[region],
                              old->count[region] * old->element_bytes[region]);
}

static int copy_all_regions(int from, const struct regions *old, int to, const struct regions *new)
{
    for (enum region region = 0; region < REGION_COUNT; region++)
        if (copy_one_region(from, old, to, new, region) == -1)
            return -1;
    return 0;
}

/* Returns the regions of the old segment. */
static struct regions regions_of_old_segment(const struct segment_shape *shape,
                                             const struct migrate_row *row)
{
    struct regions regions = regions_of(shape);

    for (size_t i = 0; i < REGION_COUNT; i++)
        if (row->element_bytes[i])
            regions.element_bytes[i] = row->element_bytes[i];
    regions_lay_out(&regions);
    return regions;
}

/* Reads the old header; fields that it did not have are zero. */
static int read_old_header(struct segment_header *header, int fd, const struct migrate_row *row)
{
    const size_t bytes =
        row->element_bytes[REGION_HEADER] ? row->element_bytes[REGION_HEADER] : sizeof(*header);

    *header = (struct segment_header){0};
    if (pread(fd, header, bytes, 0) == (ssize_t)bytes)
        return 0;
    errno = EPROTO;
    return -1;
}

/* Corrects the copied header, which describes the old segment. */
static void correct_copied_header(const struct segment *segment)
{
    segment->header->layout = layout_fingerprint();
    segment->header->size = segment->size;
}

int migrate_carry(struct segment *segment, int fd, size_t size, const struct migrate_row *row)
{
    struct segment_header header;
    struct regions old, new;

    if (read_old_header(&header, fd, row) == -1)
        return -1;
    header.node[sizeof(header.node) - 1] = '\0';
    if (segment_create(segment, &header.shape, header.node) == -1) {
        errno = errno == EINVAL ? EPROTO : errno;
        return -1;
    }
    old = regions_of_old_segment(&header.shape, row);
    new = regions_of(&header.shape);
    errno = EPROTO;
    if (old.offset[REGION_COUNT] == size && header.size == size &&
        copy_all_regions(fd, &old, segment->fd, &new) == 0) {
        correct_copied_header(segment);
        if (!row->finish || row->finish(segment) == 0)
            return 0;
    }
    const int why = errno;
    segment_close(segment);
    errno = why;
    return -1;
}

/* ---- The table ---- */

/* The layout of the previous release, if the stored structs have changed since: `make` writes
 * its fingerprint to build/layout. Remove rows of older releases. */
static const struct migrate_row rows[] = {
#ifdef MIGRATE_FROM
    {.from = MIGRATE_FROM, .to = SEGMENT_LAYOUT}, /* for tests: the same structs, another number */
#endif
    {.from = 0},
};

static const struct migrate_row *find_migrate_row(uint64_t from)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (from && rows[i].from == from && rows[i].to == layout_fingerprint())
            return &rows[i];
    return NULL;
}

/* The beginning of a segment, the same in every layout. */
struct preamble {
    uint64_t magic;
    uint64_t layout;
};
_Static_assert(offsetof(struct segment_header, layout) == offsetof(struct preamble, layout),
               "as in every layout");

static int read_segment_preamble(struct preamble *preamble, int fd, size_t *size)
{
    struct stat file;

    if (fstat(fd, &file) == -1)
        return -1;
    *size = (size_t)file.st_size;
    if (pread(fd, preamble, sizeof(*preamble), 0) == sizeof(*preamble) &&
        preamble->magic == SEGMENT_MAGIC)
        return 0;
    errno = EPROTO;
    return -1;
}

int migrate_open(struct segment *segment, int fd, uint64_t *from)
{
    const struct migrate_row *row;
    struct preamble preamble;
    size_t size;

    if (read_segment_preamble(&preamble, fd, &size) == -1)
        return -1;
    *from = preamble.layout;
    if (preamble.layout == layout_fingerprint())
        return segment_open(segment, fd);
    row = find_migrate_row(preamble.layout);
    if (!row) {
        errno = EPROTO;
        return -1;
    }
    if (migrate_carry(segment, fd, size, row) == -1)
        return -1;
    close(fd);
    return 0;
}
