/*
 * See deaths.h. Deaths of the workers' own making wait less steeply than the others, because each
 * two of them may well be progress: one push less that kills.
 */
#include "master/deaths.h"

/* Doubles with each `step`, from DEATHS_WAIT_FIRST_MS on. */
static uint32_t wait_after(uint32_t steps)
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
        return deaths->own > DEATHS_FREE ? wait_after((deaths->own - DEATHS_FREE - 1) / 4) : 0;
    return deaths->young > 0 ? wait_after(deaths->young - 1) : 0;
}

uint32_t deaths_failing(const struct deaths *deaths)
{
    const uint32_t most = deaths->own > deaths->young ? deaths->own : deaths->young;
    return most > DEATHS_FREE ? most : 0;
}
