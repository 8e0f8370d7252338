/*
 * How many bytes wait for a slow client in the memory of its worker (worker/hold.h): said here for
 * whichever worker is asked. One word for each descriptor:
 *
 *    63               32 31              0
 *   +-------------------+-----------------+
 *   | generation        | bytes           |
 *   +-------------------+-----------------+
 *
 * Written by the worker that owns the connection, and only when there is a backlog or there was
 * one, so that a connection that never had any touches no page. Read only where the record is
 * CONN_DIRTY, for the same reason: who has a backlog is.
 *
 * A worker that dies leaves its words as they are. The backlog died with it, so its successor
 * closes the connection; with that the record has another generation, and the word speaks of
 * nobody. So nothing is ever cleaned up here, and every value is valid.
 */
#ifndef WSPUSHD_SHM_BACKLOG_H
#define WSPUSHD_SHM_BACKLOG_H

#include "shm/conn.h"

/* Relaxed: a number for people, that nothing depends on. */
static inline void backlog_note(_Atomic uint64_t *backlogs, struct conn_ref ref, uint32_t bytes)
{
    atomic_store_explicit(&backlogs[ref.fd], (uint64_t)ref.generation << 32 | bytes,
                          memory_order_relaxed);
}

/* The bytes that wait for the connection whose record has this word. */
static inline uint32_t backlog_of(const _Atomic uint64_t *backlogs, uint32_t fd, uint64_t word)
{
    if (!(word_flags(word) & CONN_DIRTY))
        return 0;
    const uint64_t noted = atomic_load_explicit(&backlogs[fd], memory_order_relaxed);
    return (uint32_t)(noted >> 32) == word_generation(word) ? (uint32_t)noted : 0;
}

#endif
