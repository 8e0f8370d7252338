/*
 * See history.h. The count is published after the sample (release) and read before it (acquire).
 * With the fences on both sides, a reader that has seen a word of a newer sample also sees the
 * count before that sample, and so notices that its own is gone.
 */
#include "shm/history.h"

#include <string.h>

void history_add(struct history *history, const struct history_sample *sample)
{
    const uint64_t count = atomic_load_explicit(&history->count, memory_order_relaxed);
    _Atomic uint64_t *place = history->sample[count % HISTORY_PLACES];
    uint64_t words[HISTORY_WORDS];

    memcpy(words, sample, sizeof(words));
    /* Pairs with the fence in history_read: a reader that sees a word of this sample also sees
     * `count`, and so knows that the sample that was in this place is gone. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < HISTORY_WORDS; i++)
        atomic_store_explicit(&place[i], words[i], memory_order_relaxed);
    /* Pairs with the acquire in history_end. */
    atomic_store_explicit(&history->count, count + 1, memory_order_release);
}

uint64_t history_end(const struct history *history, uint64_t *first)
{
    const uint64_t count = atomic_load_explicit(&history->count, memory_order_acquire);

    *first = count < HISTORY_HOUR ? 0 : count - HISTORY_HOUR;
    return count;
}

bool history_read(const struct history *history, uint64_t number, struct history_sample *out)
{
    const _Atomic uint64_t *place = history->sample[number % HISTORY_PLACES];
    uint64_t words[HISTORY_WORDS], first;

    if (number >= history_end(history, &first))
        return false;
    for (size_t i = 0; i < HISTORY_WORDS; i++)
        words[i] = atomic_load_explicit(&place[i], memory_order_relaxed);
    /* Pairs with the fence in history_add. */
    atomic_thread_fence(memory_order_acquire);
    history_end(history, &first);
    memcpy(out, words, sizeof(*out));
    return number >= first;
}

/* Copies the newest sample. Returns false if there is none. */
static bool read_last_sample(const struct history *history, struct history_sample *out)
{
    uint64_t first;
    const uint64_t end = history_end(history, &first);

    return end > first && history_read(history, end - 1, out);
}

bool history_due(const struct history *history, uint64_t now_ms)
{
    struct history_sample last;

    return !read_last_sample(history, &last) ||
           now_ms / HISTORY_EVERY_MS > last.at_ms / HISTORY_EVERY_MS;
}

/* True if `after` may have been taken later than `before`. */
static bool sample_may_follow(const struct history_sample *before,
                              const struct history_sample *after)
{
    bool grown = after->at_ms >= before->at_ms;

#define HISTORY_GROWN(name, grows) grown = grown && (!(grows) || after->name >= before->name);
    HISTORY_FIELDS(HISTORY_GROWN)
#undef HISTORY_GROWN
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        grown = grown && after->latency[i] >= before->latency[i];
    return grown;
}

bool history_valid(const struct history *history)
{
    struct history_sample before = {0}, now;
    uint64_t number;
    const uint64_t end = history_end(history, &number);

    for (; number < end; number++) {
        if (!history_read(history, number, &now) || !sample_may_follow(&before, &now))
            return false;
        before = now;
    }
    return true;
}
