/*
 * See stream.h. Every function leaves the words, at each instruction, in a state that
 * stream_recover and stream_reconcile make whole; the order of the stores is what does it.
 */
#include "shm/stream.h"

#include "common/killpoint.h"

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Release, always: the stores must reach a successor in the order in which they stand here. */
static void set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

void stream_begin(struct stream *stream)
{
    set(&stream->start, get(&stream->end));
    KILLPOINT(STREAM_BEGUN);
    set(&stream->base, get(&stream->end));
}

void stream_put(struct stream *stream, uint64_t bytes)
{
    set(&stream->end, get(&stream->end) + bytes);
}

void stream_done(struct stream *stream, uint64_t bytes)
{
    set(&stream->start, get(&stream->start) + bytes);
}

void stream_rewind(struct stream *stream, uint32_t size)
{
    const uint64_t end = get(&stream->end);
    const uint64_t target = (end + size - 1) / size * size;
    if (get(&stream->start) != end || target == end)
        return;
    set(&stream->next_base, get(&stream->base) + (target - end));
    KILLPOINT(REWIND_PLANNED);
    set(&stream->start, target); /* from here on start > end: under way */
    KILLPOINT(REWIND_STARTED);
    set(&stream->base, get(&stream->next_base));
    KILLPOINT(REWIND_BASED);
    set(&stream->end, target);
}

void stream_recover(struct stream *stream)
{
    if (get(&stream->start) <= get(&stream->end))
        return;
    set(&stream->base, get(&stream->next_base));
    KILLPOINT(STREAM_RECOVERING);
    set(&stream->end, get(&stream->start));
}

bool stream_reconcile_in(struct stream *stream, uint64_t count, uint32_t size)
{
    const uint64_t end = get(&stream->base) + count;
    if (end < get(&stream->end) || end - get(&stream->start) > size)
        return false;
    set(&stream->end, end);
    return true;
}

bool stream_reconcile_out(struct stream *stream, uint64_t count)
{
    const uint64_t start = get(&stream->base) + count;
    if (start < get(&stream->start) || start > get(&stream->end))
        return false;
    set(&stream->start, start);
    return true;
}

bool stream_valid(const struct stream *stream, uint32_t size)
{
    const uint64_t start = get(&stream->start), end = get(&stream->end);
    return start <= end && end - start <= size && get(&stream->base) <= end;
}
