/*
 * The delay before another try: it doubles with each failure, and a random half of it is taken off,
 * so that many nodes do not come back at the same instant.
 */
#ifndef WSPUSHD_WORKER_BACKOFF_H
#define WSPUSHD_WORKER_BACKOFF_H

#include <stdint.h>
#include <sys/random.h>
#include <sys/time.h>

/* Returns this delay, between half and all of *ms, and doubles *ms up to `last`. Milliseconds. */
static inline uint32_t backoff_next(uint32_t *ms, uint32_t last)
{
    uint32_t random = 0; /* stays so before the kernel has any: then the delay is half */
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
