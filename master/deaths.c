/*
 * See deaths.h. The delay after deaths by the workers' own fault grows more slowly than the other,
 * because every two of them may be progress: one fatal push is skipped from then on.
 */
#include "master/deaths.h"

/* Returns DEATHS_WAIT_FIRST_MS, doubled `steps` times, at most DEATHS_WAIT_LAST_MS. */
static uint32_t delay_after_steps(uint32_t steps)
{
    uint32_t ms = DEATHS_WAIT_FIRST_MS;
    while (steps-- > 0 && ms < DEATHS_WAIT_LAST_MS)
        ms *= 2;
    return ms < DEATHS_WAIT_LAST_MS ? ms : DEATHS_WAIT_LAST_MS;
}

void deaths_note_life(struct deaths *deaths, uint64_t lived_ms)
{
    if (lived_ms >= DEATHS_YOUNG_MS)
        deaths->young = 0;
    if (lived_ms >= DEATHS_SETTLED_MS)
        deaths->own = 0;
}

uint32_t deaths_note(struct deaths *deaths, uint64_t lived_ms, bool own)
{
    deaths_note_life(deaths, lived_ms);
    deaths->own += own;
    deaths->young += lived_ms < DEATHS_YOUNG_MS;
    if (own)
        return deaths->own > DEATHS_FREE ? delay_after_steps((deaths->own - DEATHS_FREE - 1) / 4)
                                         : 0;
    return deaths->young > 0 ? delay_after_steps(deaths->young - 1) : 0;
}

uint32_t deaths_failing(const struct deaths *deaths)
{
    const uint32_t most = deaths->own > deaths->young ? deaths->own : deaths->young;
    return most > DEATHS_FREE ? most : 0;
}
