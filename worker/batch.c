/*
 * See batch.h. The clock is read only now and then, because a push costs less than a microsecond to
 * route; deliveries and walks over the table count towards the next reading.
 */
#include "worker/batch.h"

#include "common/clock.h"
#include "common/killpoint.h"
#include "worker/outbox.h"
#include "worker/rings.h"

enum {
    ROUTE_MS = 10,   /* of each turn */
    LOOK_EVERY = 256 /* units between two readings of the clock */
};

static struct {
    batch_commit *commit; /* NULL: no batch is being sent */
    uint32_t source;
    uint64_t end;
    uint64_t position; /* of its last push, as in the slot's words */
    uint64_t ends_ms;  /* the end of this turn's time for routing */
    uint32_t units;    /* since the last reading */
    uint32_t items;    /* deliveries at the last check */
    bool full;
} batch;

void batch_turn(struct worker *worker)
{
    batch.ends_ms = worker->now_ms + ROUTE_MS;
    batch.full = false;
    batch.units = 0;
}

void batch_begin(struct worker *worker, uint32_t source, uint64_t start)
{
    batch.items = 0;
    batch_reach(worker, start);
    worker_in_hand(worker, 1 + source);
}

void batch_spend(struct worker *worker, uint32_t units)
{
    (void)worker;
    batch.units += units;
}

bool batch_is_full(struct worker *worker)
{
    const uint32_t items = outbox_items(worker);
    batch.units += 1 + items - batch.items;
    batch.items = items;
    if (outbox_is_full(worker)) {
        batch.full = true;
    } else if (batch.units >= LOOK_EVERY) {
        batch.units = 0;
        batch.full = clock_mono_ms() >= batch.ends_ms;
    }
    return batch.full;
}

bool batch_was_full(const struct worker *worker)
{
    (void)worker;
    return batch.full;
}

/* ---- Sending ---- */

static void commit_nothing(struct worker *worker, uint32_t source, uint64_t end)
{
    (void)worker, (void)source, (void)end;
}

/* Records the position in the slot's words. Between two slices it is 0: the worker then handles
 * clients' requests, not the batch. */
static void set_batch_words(struct worker *worker, uint64_t position)
{
    words_push(&worker->slot->words, position ? batch.source : 0, position);
}

static void commit_sent_batch(struct worker *worker)
{
    batch_commit *const commit = batch.commit;
    batch.commit = NULL;
    commit(worker, batch.source, batch.end);
    if (batch.source != NO_SOURCE)
        worker_in_hand(worker, 0);
}

/* Leaves the remainder to the next turn. Pushes routed to other workers are published already, so
 * those need not wait for it. */
static void leave_batch_remainder(struct worker *worker)
{
    const struct slot_words *words = &worker->slot->words;
    batch.position = words->position;
    rings_commit_out(worker);
    rings_left(worker, batch.source, batch.end);
    KILLPOINT(BATCH_LEFT);
    words_push(&worker->slot->words, 0, 0);
}

bool batch_send(struct worker *worker, uint32_t source, uint64_t end, batch_commit *commit)
{
    batch.commit = commit ? commit : commit_nothing;
    batch.source = source;
    batch.end = end;
    if (outbox_flush_slice(worker)) {
        commit_sent_batch(worker);
        return true;
    }
    leave_batch_remainder(worker);
    return false;
}

bool batch_is_sending(const struct worker *worker)
{
    (void)worker;
    return batch.commit != NULL;
}

bool batch_go_on(struct worker *worker)
{
    if (!batch.commit)
        return true;
    outbox_flush_answers(worker);
    set_batch_words(worker, batch.position);
    const bool sent = outbox_flush_slice(worker);
    if (sent)
        commit_sent_batch(worker);
    else
        KILLPOINT(BATCH_LEFT);
    set_batch_words(worker, 0);
    return sent;
}

void batch_finish(struct worker *worker)
{
    if (!batch.commit)
        return;
    outbox_flush(worker);
    commit_sent_batch(worker);
}
