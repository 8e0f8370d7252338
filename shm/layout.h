/*
 * The layout of what one version of the server leaves in memory for the next: the segment, the
 * messages in its rings, and the parcels of workers that leave. Two versions can take over from
 * each other only if their layouts are the same, or if one of them knows how to carry the other's
 * segment over (migrate.h).
 *
 * Layouts are not numbered by hand. The build computes a fingerprint (scripts/layout) from the
 * names, types, offsets and sizes of every stored struct and the values of their enums, as the
 * compiler wrote them into its debugging information. So two builds with different structs never
 * mistake each other's memory for their own.
 */
#ifndef WSPUSHD_SHM_LAYOUT_H
#define WSPUSHD_SHM_LAYOUT_H

#include <stdint.h>

/*
 * Bytes can change their meaning although no struct changes: another unit, another hash function,
 * another order of steps that a successor relies on. Then raise this number, which is part of the
 * fingerprint.
 */
enum { LAYOUT_MEANING = 1 };

/* Returns the fingerprint of this build. */
uint64_t layout_fingerprint(void);

#endif
