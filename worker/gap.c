/*
 * See gap.h. The words by which a failure is known are changed only when the GAP has left the
 * outbox: a worker that dies in between leaves it to its successor, and it comes twice rather than
 * never. For the same reason a failure counts as over only when its link has got UP after it
 * (`healed`): a link that is about to be noted as down still says that it is up.
 */
#include "worker/gap.h"

#include "common/killpoint.h"
#include "worker/link.h"
#include "worker/move.h"
#include "worker/node.h"
#include "worker/outbox.h"

#include <stdio.h>

enum {
    OVERLAP_MS = 3000 /* when one link is up, the others try at once (link.c) */
};

/* Private to the process; a successor begins anew. */
static struct {
    uint64_t failed_ms; /* when another worker's link failed first; 0: none that is to be told */
    uint64_t half_ms; /* when one part of an outage was over, and the other not; 0: it is not so */
} gap;

/* What is to be told. */
struct outage {
    bool all, all_over;         /* it concerns all clients; that is over */
    bool members, members_over; /* it concerns those in topics; that is over */
    uint32_t home, others;      /* failures of the node's home's link; of all other workers' */
    uint64_t since_ms;
};

/* Whether a link that has failed `failures` times is up again. */
static bool is_whole(const struct slot_link *link, uint32_t failures)
{
    /* Acquire: pairs with the release in link.c; then what followed the failure is seen, too. */
    return atomic_load_explicit(&link->healed, memory_order_acquire) == failures &&
           atomic_load_explicit(&link->state, memory_order_acquire) == LINK_UP;
}

static uint32_t failures_of(const struct slot_link *link)
{
    /* Acquire: pairs with the release in link.c, so that failed_at is seen. */
    return atomic_load_explicit(&link->failures, memory_order_acquire);
}

/* The links of all other workers: how often they failed, when last, whether they are up again. */
static uint32_t look_at_others(const struct worker *worker, uint64_t *last_ms, bool *whole)
{
    uint32_t sum = 0;
    *last_ms = 0;
    *whole = true;
    for (uint32_t i = 0; i < worker->workers; i++) {
        const struct slot_link *link = &worker->segment->slot[i].link;
        if (i == worker->id)
            continue;
        const uint32_t failures = failures_of(link);
        const uint64_t ms = atomic_load_explicit(&link->failed_at, memory_order_relaxed);
        sum += failures;
        *whole = *whole && is_whole(link, failures);
        *last_ms = ms > *last_ms ? ms : *last_ms;
    }
    return sum;
}

static struct outage look(struct worker *worker)
{
    const struct slot_link *own = &worker->slot->link;
    const struct slot_link *home = &worker->segment->slot[worker_node_home(worker)].link;
    const struct topics_control *topics = worker->topics.control;
    struct outage outage = {.home = failures_of(home)};
    uint64_t last_ms;
    bool others_whole;
    outage.others = look_at_others(worker, &last_ms, &others_whole);
    if (outage.others != topics->gap_seen && gap.failed_ms == 0)
        gap.failed_ms = last_ms;
    const uint64_t own_ms = atomic_load_explicit(&own->gap_since, memory_order_relaxed);
    const bool own_whole = is_whole(own, failures_of(own));
    outage.all = own_ms != 0 || (home != own && own->home_told != outage.home);
    outage.all_over = own_whole && is_whole(home, outage.home) && node_ready(worker);
    outage.members = outage.others != topics->gap_seen &&
                     atomic_load_explicit(&topics->members, memory_order_relaxed) > 0;
    outage.members_over = own_whole && others_whole;
    outage.since_ms = own_ms && (!gap.failed_ms || own_ms < gap.failed_ms) ? own_ms : gap.failed_ms;
    return outage;
}

/* To every client, or only to those in topics; at once. */
static void send_gap(struct worker *worker, uint64_t ms, bool members_only)
{
    const uint32_t high = worker_high(worker);
    char json[64];
    const int len = snprintf(json, sizeof(json), "{\"ms\":%llu}", (unsigned long long)ms);
    const struct message message = {
        .op = OP_GAP, .form = PAYLOAD_JSON, .payload = (const uint8_t *)json, .len = (size_t)len};
    outbox_reserve(worker, sizeof(json));
    const frame_id frame[] = {outbox_message(worker, &message, false),
                              outbox_message(worker, &message, true)};
    for (uint32_t fd = 0; fd < high; fd++) {
        struct conn *conn = &worker->table[fd];
        const uint64_t word = conn_word(conn);
        if (word_owner(word) == worker->id && word_state(word) == CONN_OPEN &&
            !(word_flags(word) & CONN_ECHO) && (conn->topics || !members_only))
            outbox_add(worker, conn, frame[(word_flags(word) & CONN_JSON) != 0]);
    }
    outbox_flush(worker);
    stats_add(&worker->stats->gaps, 1);
}

/* All clients know of the failures, or those in topics do, or both. */
static void note_told(struct worker *worker, const struct outage *outage, bool all, bool members)
{
    struct slot_link *own = &worker->slot->link;
    if (all) {
        atomic_store_explicit(&own->gap_since, 0, memory_order_relaxed);
        own->home_told = outage->home;
        KILLPOINT(GAP_NOTED);
    }
    if (members) {
        worker->topics.control->gap_seen = outage->others;
        gap.failed_ms = 0;
    }
}

/* Whether the part of the outage that is over is still to wait for the other, so that who is in
 * topics gets one GAP for both. */
static bool wait_for_rest(const struct worker *worker, bool rest)
{
    if (rest && gap.half_ms == 0)
        gap.half_ms = worker->now_ms;
    return rest && worker->now_ms - gap.half_ms < OVERLAP_MS;
}

void gap_turn(struct worker *worker)
{
    const struct outage outage = look(worker);
    const bool all = outage.all && outage.all_over;
    const bool members = outage.members && outage.members_over;
    if (!atomic_load_explicit(&worker->slot->present, memory_order_relaxed)) {
        note_told(worker, &outage, true, true); /* there is nobody who can have missed anything */
        return;
    }
    if (all || members) {
        if (wait_for_rest(worker, outage.all != all || outage.members != members))
            return;
        send_gap(worker, worker->now_ms - outage.since_ms, !all);
        KILLPOINT(GAP_MADE);
        note_told(worker, &outage, all, members);
    } else if (!outage.members) {
        note_told(worker, &outage, false, true); /* nobody is in a topic */
    }
    gap.half_ms = 0;
}

/* ---- Another number of workers ---- */

static uint64_t all_failures(const struct worker *worker)
{
    uint64_t failures = 0;
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        failures += failures_of(&worker->segment->slot[i].link);
    return failures;
}

/* A blind link (move.h) was not routed up to the fence. */
void gap_leave(struct worker *worker)
{
    struct slot_move *move = &worker->slot->move;
    const bool blind = move_blind(worker);
    const struct outage outage = look(worker);
    uint64_t since = outage.all ? outage.since_ms : 0;
    if (since == 0 && (outage.all || blind))
        since = worker->now_ms;
    atomic_store(&move->gap_since, since);
    atomic_store(&move->topics_gap, blind || outage.others != worker->topics.control->gap_seen);
    atomic_store(&move->all_failures, all_failures(worker));
}

/* Whoever it was whose clients missed something, some of them may be here now. A failure that came
 * after its worker had noted what it owes may concern anybody. */
void gap_take(struct worker *worker)
{
    struct slot_link *own = &worker->slot->link;
    uint64_t last_ms, since = atomic_load(&own->gap_since);
    bool whole, members = false;
    if (move_blind(worker))
        link_note_gap(worker);
    for (uint32_t i = 0; i < worker->plan.other; i++) {
        const struct slot_move *move = &worker->segment->slot[i].move;
        const bool late = atomic_load(&move->all_failures) != all_failures(worker);
        const uint64_t left = atomic_load(&move->gap_since);
        const uint64_t theirs = left ? left : late ? worker->now_ms : 0;
        if (theirs && (since == 0 || theirs < since))
            since = theirs;
        members |= late || atomic_load(&move->topics_gap);
    }
    if (since)
        atomic_store(&own->gap_since, since);
    own->home_told = failures_of(&worker->segment->slot[worker_node_home(worker)].link);
    worker->topics.control->gap_seen = look_at_others(worker, &last_ms, &whole) - members;
}
