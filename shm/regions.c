/*
 * See regions.h: the offsets of the regions.
 */
#include "shm/regions.h"

#include <unistd.h>

/* No sum or product below can overflow, because the shape's fields have 32 bits and the workers are
 * few: the largest region, the bytes of the rings, has at most 2^12 times 2^31 bytes. */
_Static_assert(sizeof(size_t) == 8, "a 64-bit address space");
_Static_assert(WORKERS_MAX <= 1 << 6, "workers^2 times 2^32 bytes is far below 2^63");

void regions_lay_out(struct regions *regions)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    regions->offset[0] = 0;
    for (size_t i = 0; i < REGION_COUNT; i++) {
        const size_t bytes = regions->count[i] * regions->element_bytes[i];

        regions->offset[i + 1] = regions->offset[i] + (bytes + page - 1) / page * page;
    }
}

struct regions regions_of(const struct segment_shape *shape)
{
    struct regions regions = {
        .count =
            {
#define REGION_ELEMENTS(name, elements, bytes) [REGION_##name] = (elements),
                REGIONS(REGION_ELEMENTS)
#undef REGION_ELEMENTS
            },
        .element_bytes =
            {
#define REGION_BYTES(name, elements, bytes) [REGION_##name] = (bytes),
                REGIONS(REGION_BYTES)
#undef REGION_BYTES
            },
    };

    regions_lay_out(&regions);
    return regions;
}
