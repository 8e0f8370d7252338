/*
 * The current batch: pushes from one source (the Redis link, or the ring from one other worker)
 * that were routed together, and that are committed together once all of them have been sent.
 *
 *     source    [ done | batch                 | not looked at ]
 *                      ^ start                 ^ end
 *
 *   begun     in_hand names the source                           batch_begin
 *   routed    push by push, until the batch is full              batch_reach, batch_is_full
 *   sent      in slices: one turn of the loop may not send all   batch_send, batch_go_on
 *   committed `start` is moved to `end`, in_hand is 0            by the source's own function
 *
 * A broadcast to 100,000 clients takes a second to send. So a turn sends for SLICE_MS and leaves
 * the remainder to the next one; in between the worker reads its clients, accepts, answers
 * (outbox.h), and keeps its heartbeat going. Until the batch is committed no other push is routed:
 * a record remembers the last push of one source only, and pushes of another source would overwrite
 * which of the batch it has received. A successor continues at in_hand and in_hand_end
 * (takeover.c).
 */
#ifndef WSPUSHD_WORKER_BATCH_H
#define WSPUSHD_WORKER_BATCH_H

#include "worker/worker.h"

/* Commits the input of `source` up to position `end`. Called when all of it has been sent. */
typedef void batch_commit(struct worker *worker, uint32_t source, uint64_t end);

/* The `source` of frames that are not pushes. */
#define NO_SOURCE UINT32_MAX

/* Starts the turn's time limit: a batch begun from here on is full when it is over. */
void batch_turn(struct worker *worker);

/* Begins a batch of pushes from `source` (as in conn_mark), the first of which begins at position
 * `start`. */
void batch_begin(struct worker *worker, uint32_t source, uint64_t start);

/* Records that the push that ends at `end` is about to be handed to its connections. */
static inline void batch_reach(struct worker *worker, uint64_t end)
{
    /* Release: before any byte of it leaves. Pairs with the acquire in takeover.c. */
    atomic_store_explicit(&worker->slot->in_hand_end, end, memory_order_release);
}

/* Counts work that is neither a push nor a delivery, in units of about 50 ns. */
void batch_spend(struct worker *worker, uint32_t units);

/* True if no more pushes should be added: the batch has as many deliveries as one flush should
 * send, or the turn's time is over. */
bool batch_is_full(struct worker *worker);

/* True if a batch of this turn became full: the other sources are served in the next turn. */
bool batch_was_full(const struct worker *worker);

/* Sends the batch for one slice of time, and commits it if that was all. Returns true if it was;
 * otherwise batch_go_on continues. */
bool batch_send(struct worker *worker, uint32_t source, uint64_t end, batch_commit *commit);

/* True if a batch is being sent. */
bool batch_is_sending(const struct worker *worker);

/* Sends another slice of the batch, after the answers to requests that clients have sent meanwhile.
 * Returns true if no batch is left. */
bool batch_go_on(struct worker *worker);

/* Sends the whole batch, however long that takes. */
void batch_finish(struct worker *worker);

#endif
