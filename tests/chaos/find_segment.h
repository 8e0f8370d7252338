/*
 * The shared segment of a running server, found from outside. For the programs in this folder.
 */
#ifndef WSPUSHD_TESTS_FIND_SEGMENT_H
#define WSPUSHD_TESTS_FIND_SEGMENT_H

/* Opens the segment of the process `pid` (decimal) by way of proc(5), to be read and written.
 * Returns the descriptor, which the caller closes, or -1. */
int find_segment(const char *pid);

#endif
