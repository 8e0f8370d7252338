/*
 * Bugs to order, for tests of what happens after one: a payload that begins with one of the words
 * of tests/faults/fault.c does to the worker what a bug would; and so does WSPUSHD_FAULT, a place
 * and such a word, where a process comes to that place: "worker fault:abort". That file is part of
 * build/wspushd-faults alone (tests/variants.mk); in wspushd itself there is nothing of it, and a
 * test looks.
 */
#ifndef WSPUSHD_COMMON_FAULT_H
#define WSPUSHD_COMMON_FAULT_H

#include <stddef.h>
#include <stdint.h>

#ifdef WSPUSHD_FAULTS

/* A payload is handled: it may be the last. */
void fault_meet(const uint8_t *payload, size_t len);

/* A process has come to this place of its beginning. */
void fault_meet_at(const char *place);

/* Frames are sent: if one of them had asked for it, they are the last. */
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
