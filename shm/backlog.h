/*
 * How many bytes wait for a slow client in its worker's memory (worker/hold.h), published for the
 * other workers. One word for each descriptor:
 *
 *    63               32 31              0
 *   +-------------------+-----------------+
 *   | generation        | bytes           |
 *   +-------------------+-----------------+
 *
 * Written by the worker that owns the connection, and only while there is a backlog or when one
 * ends, so that a connection that never had one touches no page. For the same reason the word is
 * read only if the record is CONN_DIRTY, which a record with a backlog always is.
 *
 * A worker that dies leaves its words as they are. The backlog died with it, so its successor
 * closes the connection. The record's next generation then differs from the word's, which counts
 * for nothing. So nothing is ever cleaned up here, and every value is valid.
 */
#ifndef WSPUSHD_SHM_BACKLOG_H
#define WSPUSHD_SHM_BACKLOG_H

#include "shm/conn.h"

/* Publishes the backlog of a connection. Relaxed: a number for people, nothing depends on it. */
static inline void backlog_note(_Atomic uint64_t *backlogs, struct conn_ref ref, uint32_t bytes)
{
    atomic_store_explicit(&backlogs[ref.fd], (uint64_t)ref.generation << 32 | bytes,
                          memory_order_relaxed);
}

/* Returns the bytes that wait for the connection on `fd`, whose record has the status `word`. */
static inline uint32_t backlog_of(const _Atomic uint64_t *backlogs, uint32_t fd, uint64_t word)
{
    if (!(word_flags(word) & CONN_DIRTY))
        return 0;
    const uint64_t noted = atomic_load_explicit(&backlogs[fd], memory_order_relaxed);
    return (uint32_t)(noted >> 32) == word_generation(word) ? (uint32_t)noted : 0;
}

#endif
