/*
 * The clocks. proto/ never reads them, and shm/ only for the creation time of a new segment: there
 * the caller passes the time in.
 */
#ifndef WSPUSHD_COMMON_CLOCK_H
#define WSPUSHD_COMMON_CLOCK_H

#include <stdint.h>

/* Return CLOCK_MONOTONIC in microseconds, milliseconds or whole seconds. It is the same in all
 * processes of the machine and continues across execve. clock_gettime(2). */
uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);
uint32_t clock_mono_s(void);

/* Returns CLOCK_REALTIME: milliseconds since the Unix epoch. */
uint64_t clock_wall_ms(void);

#endif
