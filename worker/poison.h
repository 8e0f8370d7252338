/*
 * What has killed two workers in a row, and is set aside, so that a bug does not become a crash
 * loop (shm/words.h: what counts as the same).
 *
 *   a push        is skipped, counted (dropped_poison), and its bytes are logged
 *   a ring entry  likewise
 *   a message     its connection is closed with 1011, and so is every later one that sends the same
 *   a connection  is closed with 1011
 *   what could    not be read as a reply of Redis: the link is made anew, with a GAP
 *
 * A death while frames of many pushes are sent does not tell which of them it was. So who succeeds
 * a worker that died by its own fault is careful at first: it handles, sends and commits one push
 * at a time of those that its predecessor had in hand.
 */
#ifndef WSPUSHD_WORKER_POISON_H
#define WSPUSHD_WORKER_POISON_H

#include "worker/worker.h"

/* Judges what the last two deaths have in common. Before anything is done for the slot. */
void poison_open(struct worker *worker);

/* Whether what came from `source` (shm/words.h) at this position is set aside; for the link also
 * whether its bytes cannot even be read. */
static inline bool poison_is(const struct worker *worker, uint32_t source, uint64_t position)
{
    return worker->guilt.position == position && worker->guilt.source == source;
}
bool poison_is_unread(const struct worker *worker, uint64_t position);

/* True if a push or ring entry that is set aside (poison_is) is skipped: it is counted and logged
 * then. False if too many were lately (shm/words.h): it is to be handled, whatever happens. */
bool poison_skips(struct worker *worker, uint32_t source, uint64_t position, const uint8_t *bytes,
                  size_t len);

/* Whether the connection is to be closed for what it did to the last workers. */
bool poison_is_connection(const struct worker *worker, const struct conn *conn);

/* Whether a client's message is set aside; closes its connection then. */
bool poison_refuses(struct worker *worker, struct conn *conn, const uint8_t *bytes, size_t len);

#endif
