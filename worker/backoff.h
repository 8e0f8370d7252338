/*
 * The delay before the next attempt: it doubles with each failure, less a random part of up to
 * half, so that many nodes do not come back at the same instant.
 */
#ifndef WSPUSHD_WORKER_BACKOFF_H
#define WSPUSHD_WORKER_BACKOFF_H

#include <stdint.h>
#include <sys/random.h>
#include <sys/time.h>

/* Returns the current delay, between half and all of *ms, and doubles *ms up to `last`. All in
 * milliseconds. */
static inline uint32_t backoff_next(uint32_t *ms, uint32_t last)
{
    uint32_t random = 0; /* stays 0 if the kernel has no entropy yet: then the delay is half */
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
    const uint32_t delay = *ms / 2 + random % (*ms / 2 + 1);
    *ms = *ms * 2 > last ? last : *ms * 2;
    return delay;
}

static inline struct timeval backoff_timeval(uint32_t ms)
{
    return (struct timeval){ms / 1000, (ms % 1000) * 1000};
}

#endif
