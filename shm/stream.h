/*
 * Bytes on their way between a socket and a worker, kept in shared memory so that a successor goes
 * on at the same byte. One for each direction of a worker's Redis link.
 *
 *            start               end
 *              v                  v
 *   -----------+------------------+-------------      positions count bytes and never go back;
 *     done     | here             |  free              position modulo size is the place
 *   -----------+------------------+-------------
 *
 * in:  recv(2) puts bytes behind `end`; `start` moves when what they asked for is done.
 * out: commands are put behind `end`; `start` moves when send(2) has taken them.
 *
 * Either way one store commits. But a process can die between the system call and that store; then
 * the socket's own count tells. `base` is the position of the socket's byte 0, so `end - base`
 * bytes were received and `start - base` were sent, as far as the worker noted; stream_reconcile
 * adds what the kernel knows beyond that.
 *
 * An empty stream moves on to the next multiple of its size (stream_rewind), so that an idle link
 * touches only its first pages. That changes four words; next_base makes it one step to a
 * successor: while start > end the move is under way, and base is to become next_base.
 *
 * All words are written by the worker whose link it is.
 */
#ifndef WSPUSHD_SHM_STREAM_H
#define WSPUSHD_SHM_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct stream {
    _Atomic uint64_t start, end;
    _Atomic uint64_t base, next_base;
};

/* Begins with a new socket: whatever was there is forgotten; positions go on. */
void stream_begin(struct stream *stream);

static inline uint64_t stream_start(const struct stream *stream)
{
    return atomic_load_explicit(&stream->start, memory_order_relaxed);
}
static inline uint64_t stream_end(const struct stream *stream)
{
    return atomic_load_explicit(&stream->end, memory_order_relaxed);
}
static inline uint32_t stream_level(const struct stream *stream)
{
    return (uint32_t)(stream_end(stream) - stream_start(stream));
}

/* Bytes were put behind the end; bytes before `start` are done. Release: who reads after a death
 * sees the bytes too. */
void stream_put(struct stream *stream, uint64_t bytes);
void stream_done(struct stream *stream, uint64_t bytes);

/* Moves an empty stream to the start of its memory. */
void stream_rewind(struct stream *stream, uint32_t size);

/* After a death: finishes a rewind that was under way. */
void stream_recover(struct stream *stream);

/* After a death: the socket has received, or sent, `count` bytes in all. Notes those that are not
 * noted yet. Returns false where the numbers cannot be (more than the buffer has room for): then
 * the link must be made anew. */
bool stream_reconcile_in(struct stream *stream, uint64_t count, uint32_t size);
bool stream_reconcile_out(struct stream *stream, uint64_t count);

bool stream_valid(const struct stream *stream, uint32_t size);

#endif
