/*
 * See layout.h. This is the only file that is compiled with the fingerprint, so that a changed
 * struct does not compile everything again.
 */
#include "shm/layout.h"

#ifndef SEGMENT_LAYOUT
#error "the Makefile defines SEGMENT_LAYOUT: the output of scripts/layout"
#endif

uint64_t layout_fingerprint(void)
{
    return SEGMENT_LAYOUT;
}
