/*
 * The clocks that every process of the server reads. Nothing in proto/ calls them, and shm/ only to
 * date a new segment: time is passed in there.
 */
#ifndef WSPUSHD_COMMON_CLOCK_H
#define WSPUSHD_COMMON_CLOCK_H

#include <stdint.h>

/* Milliseconds and whole seconds of CLOCK_MONOTONIC: the same for all processes
 * of the machine, and through execve. clock_gettime(2). */
uint64_t clock_mono_us(void); /* microseconds */
uint64_t clock_mono_ms(void);
uint32_t clock_mono_s(void);

/* Milliseconds since the Unix epoch, CLOCK_REALTIME. */
uint64_t clock_wall_ms(void);

#endif
