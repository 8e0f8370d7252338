/*
 * Bytes between a socket and a worker, kept in shared memory so that a successor continues at the
 * same byte. One stream for each direction of a worker's Redis link.
 *
 *            start               end
 *              v                  v
 *   -----------+------------------+-------------      positions count bytes and never go back;
 *     done     | here             |  free              position modulo size is the offset
 *   -----------+------------------+-------------
 *
 * in:  recv(2) puts bytes behind `end`; `start` moves when they have been handled.
 * out: commands are put behind `end`; `start` moves when send(2) has taken them.
 *
 * Either way one store commits. A process can die between the system call and that store; then the
 * socket's own count tells. `base` is the position of the socket's byte 0, so `end - base` bytes
 * were received and `start - base` were sent, as far as the worker noted; stream_reconcile adds
 * the bytes that the kernel counted beyond that.
 *
 * An empty stream moves on to the next multiple of its size (stream_rewind), so that an idle link
 * touches only its first pages. That changes four words; next_base makes it one step for a
 * successor: while start > end the rewind is in progress, and base is to become next_base.
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

/* Begins with a new socket: the bytes in the stream are discarded; positions continue. */
void stream_begin(struct stream *stream);

static inline uint64_t stream_start(const struct stream *stream)
{
    return atomic_load_explicit(&stream->start, memory_order_relaxed);
}
static inline uint64_t stream_end(const struct stream *stream)
{
    return atomic_load_explicit(&stream->end, memory_order_relaxed);
}
/* Returns how many bytes are in the stream. */
static inline uint32_t stream_level(const struct stream *stream)
{
    return (uint32_t)(stream_end(stream) - stream_start(stream));
}

/* Note that bytes were put behind `end`, or that bytes after `start` are done. Release: a successor
 * that sees the position also sees the bytes. */
void stream_put(struct stream *stream, uint64_t bytes);
void stream_done(struct stream *stream, uint64_t bytes);

/* Moves an empty stream to the start of its memory. `size`: of the buffer, in bytes. */
void stream_rewind(struct stream *stream, uint32_t size);

/* After a death: finishes a rewind that was in progress. */
void stream_recover(struct stream *stream);

/* After a death: the socket has received, or sent, `count` bytes in all. Adds those that were not
 * noted. Returns false if the numbers contradict each other (more than the buffer has room for):
 * then the caller must make a new link. */
bool stream_reconcile_in(struct stream *stream, uint64_t count, uint32_t size);
bool stream_reconcile_out(struct stream *stream, uint64_t count);

/* True if the positions are consistent, which they are except during a rewind. */
bool stream_valid(const struct stream *stream, uint32_t size);

#endif
