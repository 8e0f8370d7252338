/*
 * See layout.h. Only this file is compiled with the fingerprint, so that a changed struct does not
 * recompile every other file.
 */
#include "shm/layout.h"

#ifndef SEGMENT_LAYOUT
#error "the Makefile defines SEGMENT_LAYOUT: the output of scripts/layout"
#endif

uint64_t layout_fingerprint(void)
{
    return SEGMENT_LAYOUT;
}
