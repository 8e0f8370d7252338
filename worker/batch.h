/*
 * The batch in hand: pushes that were routed together, out of one source (the link to Redis, or the
 * ring from one other worker), and that are committed together once all of them have been sent.
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
 * the rest to the next one; in between the worker reads its clients, accepts, and answers
 * (outbox.h), and its heartbeat goes on. Until the batch is committed no other push is routed: a
 * record remembers the last push of one source only, and those of another would make it forget
 * which of the batch it has had. A successor begins with what in_hand and in_hand_end say
 * (takeover.c).
 */
#ifndef WSPUSHD_WORKER_BATCH_H
#define WSPUSHD_WORKER_BATCH_H

#include "worker/worker.h"

/* Commits what came from `source` up to position `end`. Called when all of it has been sent. */
typedef void batch_commit(struct worker *worker, uint32_t source, uint64_t end);

/* What `source` is called in a batch that has none: frames that are not pushes. */
#define NO_SOURCE UINT32_MAX

/* The turn begins to route: a batch begun from here on is full when its time is over. */
void batch_turn(struct worker *worker);

/* Begins a batch of pushes from `source` (as in conn_mark); the first of them begins at `start`. */
void batch_begin(struct worker *worker, uint32_t source, uint64_t start);

/* The push that ends at `end` is about to be handed to its connections. */
static inline void batch_reach(struct worker *worker, uint64_t end)
{
    /* Release: before anything of it leaves. Pairs with the acquire in takeover.c. */
    atomic_store_explicit(&worker->slot->in_hand_end, end, memory_order_release);
}

/* Notes work that is neither a push nor a delivery, in units of about 50 ns. */
void batch_spend(struct worker *worker, uint32_t units);

/* True if no more pushes should be added: there are as many deliveries as one flush is good for, or
 * the turn's time is over. */
bool batch_is_full(struct worker *worker);

/* True if a batch of this turn became full: the other sources have their turn in the next one. */
bool batch_was_full(const struct worker *worker);

/* Sends what has gathered for as long as a slice takes, and commits if that was all. Returns
 * whether it was; otherwise batch_go_on goes on. */
bool batch_send(struct worker *worker, uint32_t source, uint64_t end, batch_commit *commit);

/* True if a batch is being sent. */
bool batch_is_sending(const struct worker *worker);

/* Sends another slice of it, and before that what clients have asked for meanwhile. Returns true if
 * there is no batch any more. */
bool batch_go_on(struct worker *worker);

/* Sends all of it, however long that takes. */
void batch_finish(struct worker *worker);

#endif
