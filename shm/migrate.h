/*
 * A segment of another layout: where a version of the server with other structs takes over, what
 * the old one had in shared memory is carried into a new segment, by the row of a table for the old
 * layout. Without a row the new version cannot take over, and the upgrade becomes a restart
 * (master/upgrade.h).
 *
 *      old segment ──▶ header, the same secrets ──▶ regions as they were: copied  ──▶ new segment
 *      layout 2        board, backlogs: empty       slots, counters: by fields        layout 3
 *
 * The table has the previous layout and no older one. Its structs, as they were, stand in a header
 * of their own (layout2.h).
 */
#ifndef WSPUSHD_SHM_MIGRATE_H
#define WSPUSHD_SHM_MIGRATE_H

#include "shm/segment.h"

/*
 * Maps a segment of this layout as segment_open does; out of one of the previous layout it makes a
 * new one, with all that the old one has, and closes `fd`. Nobody may write to the old one, or what
 * the new one has is worth nothing. Returns the layout that it was of, or -1 with errno (EPROTO: it
 * is no segment, or of a layout without a row).
 */
int migrate_open(struct segment *segment, int fd);

#endif
