/*
 * Fault injection, for tests of crash recovery. A payload that begins with one of the words of
 * tests/faults/fault.c crashes the worker in the way that the word names. The environment variable
 * WSPUSHD_FAULT, a place and such a word ("worker fault:abort"), does so when a process reaches the
 * place. Only build/wspushd-faults contains this code (tests/variants.mk); a test checks that
 * wspushd does not.
 */
#ifndef WSPUSHD_COMMON_FAULT_H
#define WSPUSHD_COMMON_FAULT_H

#include <stddef.h>
#include <stdint.h>

#ifdef WSPUSHD_FAULTS

/* Call with each payload that a worker handles: crashes if the payload asks for it. */
void fault_meet(const uint8_t *payload, size_t len);

/* Call at a named place of a process's start: crashes if WSPUSHD_FAULT names the place. */
void fault_meet_at(const char *place);

/* Call after frames were sent: crashes if a payload asked for a fault at this place. */
void fault_meet_flush(void);

#else

static inline void fault_meet(const uint8_t *payload, size_t len)
{
    (void)payload, (void)len;
}
static inline void fault_meet_at(const char *place)
{
    (void)place;
}
static inline void fault_meet_flush(void)
{
}

#endif
#endif
