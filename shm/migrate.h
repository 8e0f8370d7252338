/*
 * A segment of another layout: a version of the server whose stored structs differ carries what the
 * running version has in shared memory into a new segment, if it has a row for that version's
 * layout. Without a row it cannot take over, and the upgrade becomes a restart (master/upgrade.h).
 *
 *      old segment ──▶ each region: copied, element by element if these have grown ──▶ new segment
 *
 * A row needs no code as long as stored structs only grow at their ends: it names the old sizes,
 * and the new fields begin as zeros. A field that has to begin with another value, or that has
 * moved, gets it from the row's `finish`.
 */
#ifndef WSPUSHD_SHM_MIGRATE_H
#define WSPUSHD_SHM_MIGRATE_H

#include "shm/regions.h"

/* How a segment of the layout `from` becomes one of the layout `to`, which is this version's. */
struct migrate_row {
    uint64_t from, to;
    size_t element_bytes[REGION_COUNT]; /* in `from`; 0: as in this version */
    /* Completes the copied segment; NULL: there is nothing to complete. Returns 0, or -1 with
     * errno. */
    int (*finish)(struct segment *segment);
};

/*
 * Maps a segment of this layout as segment_open does. From one of another layout with a row, makes
 * a new segment that has all that the old one had, and closes `fd`. Nobody may write to the old one
 * meanwhile. Returns 0, or -1 with errno (EPROTO: not a segment, or of a layout without a row), and
 * then `fd` is the caller's as before. *from is the layout that it was of.
 */
int migrate_open(struct segment *segment, int fd, uint64_t *from);

/* Carries the segment in the file `fd`, `size` bytes long, over by this row into a new one, and
 * leaves `fd` open. Returns 0, or -1 with errno (EPROTO: the sizes do not fit). */
int migrate_carry(struct segment *segment, int fd, size_t size, const struct migrate_row *row);

#endif
