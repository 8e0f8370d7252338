/*
 * See unrest.h.
 */
#include "worker/unrest.h"

#include <stdbool.h>

struct unrest unrest_among(uint32_t high)
{
    return (struct unrest){.high = high, .size = high / UNREST_BLOCKS + 1};
}

void unrest_note(struct unrest *unrest, uint32_t fd)
{
    const uint32_t block = fd / unrest->size;
    unrest->bits[block / 64] |= 1ULL << block % 64;
}

static bool block_is_noted(const struct unrest *unrest, uint32_t fd)
{
    const uint32_t block = fd / unrest->size;
    return unrest->bits[block / 64] >> block % 64 & 1;
}

uint32_t unrest_next(const struct unrest *unrest, uint32_t fd)
{
    while (fd < unrest->high && !block_is_noted(unrest, fd))
        fd += unrest->size - fd % unrest->size; /* to the next block */
    return fd < unrest->high ? fd : unrest->high;
}
