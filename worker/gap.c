/*
 * See gap.h. The fields that record a failure are changed only after the GAP has left the outbox:
 * if a worker dies in between, its successor sends it, so it comes twice rather than never. For the
 * same reason a failure is over only when its link has come UP after it (`healed`): a link that is
 * about to be marked down still says UP.
 */
#include "worker/gap.h"

#include "common/killpoint.h"
#include "worker/link.h"
#include "worker/move.h"
#include "worker/node.h"
#include "worker/outbox.h"

#include <stdio.h>

enum {
    OVERLAP_MS = 3000 /* when one link is up, the others reconnect at once (link.c) */
};

/* Private to the process; a successor starts with zeros. */
static struct {
    uint64_t failed_ms; /* when another worker's link first failed; 0: none to be told of */
    uint64_t half_ms;   /* when one part of an outage ended before the other; 0: none did */
} gap;

/* The outage that clients are to be told of. */
struct outage {
    bool all, all_over;         /* it concerns all clients; that part is over */
    bool members, members_over; /* it concerns topic members; that part is over */
    uint32_t home, others;      /* failures of the node home's link; of all other workers' links */
    uint64_t since_ms;
};

/* True if a link that has failed `failures` times is up again. */
static bool is_link_whole(const struct slot_link *link, uint32_t failures)
{
    /* Acquire: pairs with the release in link.c, so that the failure's effects are seen. */
    return atomic_load_explicit(&link->healed, memory_order_acquire) == failures &&
           atomic_load_explicit(&link->state, memory_order_acquire) == LINK_UP;
}

static uint32_t link_failure_count(const struct slot_link *link)
{
    /* Acquire: pairs with the release in link.c, so that failed_at is seen. */
    return atomic_load_explicit(&link->failures, memory_order_acquire);
}

/* Sums up the failures of all other workers' links. *last_ms: the last one; *whole: all are up
 * again. */
static uint32_t sum_other_failures(const struct worker *worker, uint64_t *last_ms, bool *whole)
{
    uint32_t sum = 0;
    *last_ms = 0;
    *whole = true;
    for (uint32_t i = 0; i < worker->workers; i++) {
        const struct slot_link *link = &worker->segment->slot[i].link;
        if (i == worker->id)
            continue;
        const uint32_t failures = link_failure_count(link);
        const uint64_t ms = atomic_load_explicit(&link->failed_at, memory_order_relaxed);
        sum += failures;
        *whole = *whole && is_link_whole(link, failures);
        *last_ms = ms > *last_ms ? ms : *last_ms;
    }
    return sum;
}

static struct outage assess_outage(struct worker *worker)
{
    const struct slot_link *own = &worker->slot->link;
    const struct slot_link *home = &worker->segment->slot[worker_node_home(worker)].link;
    const struct topics_control *topics = worker->topics.control;
    struct outage outage = {.home = link_failure_count(home)};
    uint64_t last_ms;
    bool others_whole;
    outage.others = sum_other_failures(worker, &last_ms, &others_whole);
    if (outage.others != topics->gap_seen && gap.failed_ms == 0)
        gap.failed_ms = last_ms;
    const uint64_t own_ms = atomic_load_explicit(&own->gap_since, memory_order_relaxed);
    const bool own_whole = is_link_whole(own, link_failure_count(own));
    outage.all = own_ms != 0 || (home != own && own->home_told != outage.home);
    outage.all_over = own_whole && is_link_whole(home, outage.home) && node_ready(worker);
    outage.members = outage.others != topics->gap_seen &&
                     atomic_load_explicit(&topics->members, memory_order_relaxed) > 0;
    outage.members_over = own_whole && others_whole;
    outage.since_ms = own_ms && (!gap.failed_ms || own_ms < gap.failed_ms) ? own_ms : gap.failed_ms;
    return outage;
}

/* Sends GAP at once, to every client or only to topic members. */
static void send_gap_frames(struct worker *worker, uint64_t ms, bool members_only)
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

/* Records that all clients, or topic members, or both have been told. */
static void note_gap_told(struct worker *worker, const struct outage *outage, bool all,
                          bool members)
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

/* True if the ended part of the outage still waits for the other, so that topic members get one GAP
 * for both. */
static bool waits_for_other_part(const struct worker *worker, bool rest)
{
    if (rest && gap.half_ms == 0)
        gap.half_ms = worker->now_ms;
    return rest && worker->now_ms - gap.half_ms < OVERLAP_MS;
}

void gap_turn(struct worker *worker)
{
    const struct outage outage = assess_outage(worker);
    const bool all = outage.all && outage.all_over;
    const bool members = outage.members && outage.members_over;
    if (!atomic_load_explicit(&worker->slot->present, memory_order_relaxed)) {
        note_gap_told(worker, &outage, true, true); /* no client can have missed anything */
        return;
    }
    if (all || members) {
        if (waits_for_other_part(worker, outage.all != all || outage.members != members))
            return;
        send_gap_frames(worker, worker->now_ms - outage.since_ms, !all);
        KILLPOINT(GAP_MADE);
        note_gap_told(worker, &outage, all, members);
    } else if (!outage.members) {
        note_gap_told(worker, &outage, false, true); /* no client is in a topic */
    }
    gap.half_ms = 0;
}

/* ---- Another number of workers ---- */

static uint64_t sum_all_failures(const struct worker *worker)
{
    uint64_t failures = 0;
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        failures += link_failure_count(&worker->segment->slot[i].link);
    return failures;
}

/* Records this worker's gaps for the next workers of its clients. A blind link (move.h) was not
 * routed up to the fence, so it counts as a gap. */
void gap_leave(struct worker *worker)
{
    struct slot_move *move = &worker->slot->move;
    const bool blind = move_blind(worker);
    const struct outage outage = assess_outage(worker);
    uint64_t since = outage.all ? outage.since_ms : 0;
    if (since == 0 && (outage.all || blind))
        since = worker->now_ms;
    atomic_store(&move->gap_since, since);
    atomic_store(&move->topics_gap, blind || outage.others != worker->topics.control->gap_seen);
    atomic_store(&move->all_failures, sum_all_failures(worker));
}

/* Takes over the gaps of all previous workers: some of their clients may be here now. A failure
 * after its worker had recorded its gaps may concern any client. */
void gap_take(struct worker *worker)
{
    struct slot_link *own = &worker->slot->link;
    uint64_t last_ms, since = atomic_load(&own->gap_since);
    bool whole, members = false;
    if (move_blind(worker))
        link_note_gap(worker);
    for (uint32_t i = 0; i < worker->plan.other; i++) {
        const struct slot_move *move = &worker->segment->slot[i].move;
        const bool late = atomic_load(&move->all_failures) != sum_all_failures(worker);
        const uint64_t left = atomic_load(&move->gap_since);
        const uint64_t theirs = left ? left : late ? worker->now_ms : 0;
        if (theirs && (since == 0 || theirs < since))
            since = theirs;
        members |= late || atomic_load(&move->topics_gap);
    }
    if (since)
        atomic_store(&own->gap_since, since);
    own->home_told = link_failure_count(&worker->segment->slot[worker_node_home(worker)].link);
    worker->topics.control->gap_seen = sum_other_failures(worker, &last_ms, &whole) - members;
}
