/*
 * See stream.h. At each instruction the words are in a state that stream_recover and
 * stream_reconcile can complete; the order of the stores ensures it.
 */
#include "shm/stream.h"

#include "common/killpoint.h"

static uint64_t load_stream_word(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Release, always: a successor must see the stores in program order. */
static void store_stream_word(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

void stream_begin(struct stream *stream)
{
    store_stream_word(&stream->start, load_stream_word(&stream->end));
    KILLPOINT(STREAM_BEGUN);
    store_stream_word(&stream->base, load_stream_word(&stream->end));
}

void stream_put(struct stream *stream, uint64_t bytes)
{
    store_stream_word(&stream->end, load_stream_word(&stream->end) + bytes);
}

void stream_done(struct stream *stream, uint64_t bytes)
{
    store_stream_word(&stream->start, load_stream_word(&stream->start) + bytes);
}

void stream_rewind(struct stream *stream, uint32_t size)
{
    const uint64_t end = load_stream_word(&stream->end);
    const uint64_t target = (end + size - 1) / size * size;
    if (load_stream_word(&stream->start) != end || target == end)
        return;
    store_stream_word(&stream->next_base, load_stream_word(&stream->base) + (target - end));
    KILLPOINT(REWIND_PLANNED);
    store_stream_word(&stream->start, target); /* from here on start > end: in progress */
    KILLPOINT(REWIND_STARTED);
    store_stream_word(&stream->base, load_stream_word(&stream->next_base));
    KILLPOINT(REWIND_BASED);
    store_stream_word(&stream->end, target);
}

void stream_recover(struct stream *stream)
{
    if (load_stream_word(&stream->start) <= load_stream_word(&stream->end))
        return;
    store_stream_word(&stream->base, load_stream_word(&stream->next_base));
    KILLPOINT(STREAM_RECOVERING);
    store_stream_word(&stream->end, load_stream_word(&stream->start));
}

bool stream_reconcile_in(struct stream *stream, uint64_t count, uint32_t size)
{
    const uint64_t end = load_stream_word(&stream->base) + count;
    if (end < load_stream_word(&stream->end) || end - load_stream_word(&stream->start) > size)
        return false;
    store_stream_word(&stream->end, end);
    return true;
}

bool stream_reconcile_out(struct stream *stream, uint64_t count)
{
    const uint64_t start = load_stream_word(&stream->base) + count;
    if (start < load_stream_word(&stream->start) || start > load_stream_word(&stream->end))
        return false;
    store_stream_word(&stream->start, start);
    return true;
}

bool stream_valid(const struct stream *stream, uint32_t size)
{
    const uint64_t start = load_stream_word(&stream->start), end = load_stream_word(&stream->end);
    return start <= end && end - start <= size && load_stream_word(&stream->base) <= end;
}
