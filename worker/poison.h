/*
 * Sets aside input that has killed two workers in a row, so that a bug does not become a crash loop
 * (shm/words.h says when two deaths have the same cause).
 *
 *   a push        is skipped, counted (dropped_poison), and its bytes are logged
 *   a ring entry  likewise
 *   a message     its connection is closed with 1011, and so is every later one that sends the same
 *   a connection  is closed with 1011
 *   bytes of Redis that could not be parsed: the link is made again, with a GAP
 *
 * A death while frames of many pushes are sent does not tell which of them caused it. So the
 * successor of a worker that died by its own fault is careful at first: of the pushes that its
 * predecessor had in hand, it handles, sends and commits one at a time.
 */
#ifndef WSPUSHD_WORKER_POISON_H
#define WSPUSHD_WORKER_POISON_H

#include "worker/worker.h"

/* Determines the suspect that the last two deaths share. Call it before anything else is done for
 * the slot. */
void poison_open(struct worker *worker);

/* True if the push or ring entry from `source` (shm/words.h) at this position is set aside; for the
 * link, poison_is_unread is also true if the bytes at that position could not be parsed. */
static inline bool poison_is(const struct worker *worker, uint32_t source, uint64_t position)
{
    return worker->guilt.position == position && worker->guilt.source == source;
}
bool poison_is_unread(const struct worker *worker, uint64_t position);

/* True if a push or ring entry that is set aside (poison_is) is skipped; it is then counted and
 * logged. False if too many were skipped lately (shm/words.h): it must then be handled, whatever
 * happens. */
bool poison_skips(struct worker *worker, uint32_t source, uint64_t position, const uint8_t *bytes,
                  size_t len);

/* True if the connection must be closed because it killed the last two workers. */
bool poison_is_connection(const struct worker *worker, const struct conn *conn);

/* True if a client's message is set aside; its connection is then closed. */
bool poison_refuses(struct worker *worker, struct conn *conn, const uint8_t *bytes, size_t len);

#endif
