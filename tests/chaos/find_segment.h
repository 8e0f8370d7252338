/*
 * Finds the shared segment of a running server from outside. For the programs in this folder.
 */
#ifndef WSPUSHD_TESTS_FIND_SEGMENT_H
#define WSPUSHD_TESTS_FIND_SEGMENT_H

/* Opens the segment of the process `pid` (decimal) through proc(5), for reading and writing.
 * Returns the descriptor, which the caller owns, or -1. */
int find_segment(const char *pid);

#endif
