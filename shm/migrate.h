/*
 * Migration of a segment of another layout. A version whose stored structs differ from the running
 * version's carries the contents of the old segment into a new one, if it has a row for the old
 * layout. Without a row it cannot take over, and the upgrade becomes a restart (master/upgrade.h).
 *
 *      old segment ──▶ each region: copied, element by element if these have grown ──▶ new segment
 *
 * A row needs no code as long as stored structs only grow at their ends: it names the old sizes,
 * and the new fields begin as zeros. The row's `finish` sets a field that must begin with another
 * value or that has moved.
 */
#ifndef WSPUSHD_SHM_MIGRATE_H
#define WSPUSHD_SHM_MIGRATE_H

#include "shm/regions.h"

/* How a segment of layout `from` becomes one of layout `to`, which is this version's. */
struct migrate_row {
    uint64_t from, to;
    size_t element_bytes[REGION_COUNT]; /* in `from`; 0: as in this version */
    /* Completes the copied segment; NULL: it is complete. Returns 0, or -1 with errno. */
    int (*finish)(struct segment *segment);
};

/*
 * Maps a segment of this layout, as segment_open does. If there is a row for its layout, copies it
 * into a new segment and closes `fd` instead; no process may write to the old one meanwhile.
 * Returns 0, or -1 with errno (EPROTO: not a segment, or of a layout without a row); then `fd`
 * stays the caller's. Sets *from to the segment's layout.
 */
int migrate_open(struct segment *segment, int fd, uint64_t *from);

/* Copies the segment in the file `fd`, `size` bytes long, into a new one as this row says, and
 * leaves `fd` open. Returns 0, or -1 with errno (EPROTO: the sizes do not match). */
int migrate_carry(struct segment *segment, int fd, size_t size, const struct migrate_row *row);

#endif
