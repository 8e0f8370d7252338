/*
 * Overwrites the shared memory of a running server, as a faulty process could.
 *
 *   scribble PID                          prints the regions (shm/regions.h) as a JSON object
 *   scribble PID REGION OFFSET HEX ...    writes bytes at offsets (decimal) in the region
 *
 * Exit status 0; 1: invalid arguments; 2: no segment.
 */
#include "shm/regions.h"
#include "tests/chaos/find_segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
#define REGION_NAME(name, elements, bytes) #name,
    REGIONS(REGION_NAME)
#undef REGION_NAME
};

static void print_regions(const struct segment *segment, const struct regions *regions)
{
    printf("{\"own_fds\": %u, \"high\": %u", segment->header->own_fds, segment_high(segment));
    for (size_t i = 0; i < REGION_COUNT; i++)
        printf(", \"%s\": {\"elements\": %zu, \"bytes\": %zu}", names[i], regions->count[i],
               regions->element_bytes[i]);
    printf("}\n");
}

/* Returns the number of a region, or -1. */
static int find_region_number(const char *name)
{
    for (int i = 0; i < REGION_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* Writes the bytes that `hex` spells at offset `at`. Returns 0, or -1. */
static int write_hex_bytes(int fd, size_t at, const char *hex)
{
    for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2, at++) {
        const unsigned char value = (unsigned char)byte;
        if (!hex[1] || pwrite(fd, &value, 1, (off_t)at) != 1)
            return -1;
    }
    return 0;
}

static int write_over_region(int fd, const struct regions *regions, char **argument)
{
    const int region = find_region_number(argument[0]);
    for (argument++; region != -1 && argument[0] && argument[1]; argument += 2) {
        const size_t at = regions->offset[region] + strtoull(argument[0], NULL, 10);
        if (at + strlen(argument[1]) / 2 > regions->offset[region + 1] ||
            write_hex_bytes(fd, at, argument[1]) == -1)
            return 1;
    }
    return region == -1;
}

int main(int argc, char **argv)
{
    struct segment segment;
    const int fd = argc > 1 ? find_segment(argv[1]) : -1;
    if (fd == -1 || segment_open(&segment, fd) == -1) {
        fprintf(stderr, "scribble: no segment of process %s\n", argc > 1 ? argv[1] : "?");
        return 2;
    }
    const struct regions regions = regions_of(&segment.header->shape);
    if (argc > 2)
        return write_over_region(fd, &regions, argv + 2);
    print_regions(&segment, &regions);
    return 0;
}
