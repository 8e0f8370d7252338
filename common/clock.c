/*
 * The clocks. CLOCK_MONOTONIC counts from the machine's boot, is the same in every process and
 * continues across execve, so a successor can use the times that its predecessor wrote into shared
 * memory. The vDSO reads both clocks without a system call, and reading cannot fail on Linux.
 */
#include "common/clock.h"

#include <time.h>

static uint64_t read_clock_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_mono_us(void)
{
    return read_clock_us(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
    return read_clock_us(CLOCK_MONOTONIC) / 1000;
}

uint32_t clock_mono_s(void)
{
    return (uint32_t)(clock_mono_ms() / 1000);
}

uint64_t clock_wall_ms(void)
{
    return read_clock_us(CLOCK_REALTIME) / 1000;
}
