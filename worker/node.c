/*
 * See node.h. The probe is a PUBLISH by the node's home to a channel of its own: it comes back
 * through Redis, and goes through shared memory to each worker, which notes the time.
 */
#include "worker/node.h"

#include "common/killpoint.h"
#include "worker/command.h"
#include "worker/outbox.h"
#include "worker/rings.h"
#include "worker/subscribe.h"

#include <stdio.h>
#include <string.h>

enum {
    PROBE_EVERY_S = 3,     /* seconds between probes */
    PROBE_VALID_MS = 10000 /* how long one says that the way is open */
};

/* Private to the process; node_recover makes them again. */
static struct {
    bool had_users;         /* this worker's last word on whether it has users */
    bool asked;             /* node's home: the channels are asked for */
    uint64_t batch;         /* node's home: the batch that they are in */
    uint32_t probed_s;      /* node's home: when the last probe was sent */
    uint64_t topics_gap_ms; /* when another worker's link failed; 0: none that is to be told */
    bool told;              /* GAP is in the outbox: once it has left, the gap is over */
    bool topics_told;       /* the same to members of topics */
    uint32_t topics_seen;   /* the failures that it speaks of */
} node;

static struct slot *home_slot(const struct worker *worker)
{
    return &worker->segment->slot[worker_node_home(worker)];
}

static bool is_home(const struct worker *worker)
{
    return worker->id == worker_node_home(worker);
}

static enum node_state state(const struct worker *worker)
{
    return (enum node_state)atomic_load_explicit(&home_slot(worker)->node_state,
                                                 memory_order_acquire);
}

bool node_ready(const struct worker *worker)
{
    return state(worker) == NODE_READY;
}

static bool anybody(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->workers; i++)
        if (atomic_load_explicit(&worker->segment->slot[i].present, memory_order_relaxed))
            return true;
    return false;
}

/* ---- The node's channels ---- */

static const char *const user_channels[] = {"all", "users"};

static void channels(struct worker *worker, bool subscribe)
{
    for (size_t i = 0; i < sizeof(user_channels) / sizeof(user_channels[0]); i++)
        subscriptions_channel(worker, user_channels[i], subscribe);
    node.asked = subscribe;
    node.batch = worker->slot->link.batch_sent + 1;
}

static void set_state(struct worker *worker, enum node_state state)
{
    atomic_store_explicit(&worker->slot->node_state, state, memory_order_release);
    rings_tell_all(worker);
}

void node_subscribe(struct worker *worker)
{
    char probe[32];
    if (!is_home(worker))
        return;
    snprintf(probe, sizeof(probe), "probe:%08x", worker->segment->header->boot_id);
    subscriptions_channel(worker, probe, true);
    subscriptions_channel(worker, "ctl", true);
    node.asked = anybody(worker);
    if (node.asked)
        channels(worker, true);
    node.probed_s = 0;
}

void node_confirmed(struct worker *worker)
{
    if (is_home(worker) && node.asked && !node_ready(worker) &&
        worker->slot->link.batch_confirmed >= node.batch)
        set_state(worker, NODE_READY);
}

/* The last user seems to be gone. Before the channels are given up, whoever comes just now must
 * know that it cannot rely on them. */
static void give_up(struct worker *worker)
{
    atomic_store_explicit(&worker->slot->node_state, NODE_DOUBTFUL, memory_order_relaxed);
    KILLPOINT(NODE_DOUBTFUL);
    /* Pairs with the fence in tell_home: either we see its user, or it sees us doubtful. */
    atomic_thread_fence(memory_order_seq_cst);
    if (anybody(worker)) {
        if (worker->slot->link.batch_confirmed >= node.batch)
            set_state(worker, NODE_READY);
        return;
    }
    channels(worker, false);
    set_state(worker, NODE_DOWN);
    KILLPOINT(NODE_GIVEN_UP);
}

/* Node's home: the channels follow whether anybody is here. */
static void follow_users(struct worker *worker)
{
    const uint32_t link = atomic_load_explicit(&worker->slot->link.state, memory_order_relaxed);
    if (link != LINK_UP && link != LINK_SUBSCRIBING) {
        node.asked = false;
        if (state(worker) != NODE_DOWN)
            set_state(worker, NODE_DOWN);
        return;
    }
    const bool wanted = anybody(worker);
    if (wanted && !node.asked)
        channels(worker, true);
    else if (!wanted && node.asked)
        give_up(worker);
}

/* Tells the node's home that this worker's first user came or its last one left. `present` changes
 * only here, so that a user who goes while another comes is no absence. */
static void tell_home(struct worker *worker)
{
    const bool have = atomic_load_explicit(&worker->slot->ready_users, memory_order_relaxed) > 0;
    if (have == node.had_users)
        return;
    node.had_users = have;
    atomic_store_explicit(&worker->slot->present, have, memory_order_relaxed);
    KILLPOINT(NODE_PRESENT);
    /* Pairs with the fence in give_up. */
    atomic_thread_fence(memory_order_seq_cst);
    rings_tell_all(worker);
}

/* ---- GAP ---- */

/* To every client, or only to those with topics. */
static void send_gap(struct worker *worker, uint64_t ms, bool members_only)
{
    const uint32_t high = atomic_load_explicit(&worker->slot->high, memory_order_relaxed);
    char json[64];
    const int len = snprintf(json, sizeof(json), "{\"ms\":%llu}", (unsigned long long)ms);
    const struct message gap = {
        .op = OP_GAP, .form = PAYLOAD_JSON, .payload = (const uint8_t *)json, .len = (size_t)len};
    outbox_reserve(worker, sizeof(json));
    const frame_id frame[] = {outbox_message(worker, &gap, false),
                              outbox_message(worker, &gap, true)};
    for (uint32_t fd = 0; fd < high; fd++) {
        struct conn *conn = &worker->table[fd];
        const uint64_t word = conn_word(conn);
        if (word_owner(word) == worker->id && word_state(word) == CONN_OPEN &&
            !(word_flags(word) & CONN_ECHO) && (conn->topics || !members_only))
            outbox_add(worker, conn, frame[(word_flags(word) & CONN_JSON) != 0]);
    }
    stats_add(&worker->stats->gaps, 1);
}

/* The node's channels may have failed while our own link is well: that is a gap, too. Noted before
 * it counts as seen, so that no death comes between. */
static void watch_home(struct worker *worker)
{
    const struct slot_link *link = &home_slot(worker)->link;
    _Atomic uint64_t *since = &worker->slot->link.gap_since;
    /* Acquire: pairs with the release in link.c, so that failed_at is seen. */
    const uint32_t failures =
        link_failures(atomic_load_explicit(&link->failures, memory_order_acquire));
    if (failures == atomic_load_explicit(&worker->slot->node_seen, memory_order_relaxed))
        return;
    if (node.had_users && atomic_load_explicit(since, memory_order_relaxed) == 0)
        atomic_store_explicit(since, atomic_load_explicit(&link->failed_at, memory_order_relaxed),
                              memory_order_relaxed);
    atomic_store_explicit(&worker->slot->node_seen, failures, memory_order_release);
}

/* Whether the node's channels are whole again. */
static bool home_is_well(const struct worker *worker)
{
    return !link_failing(
               atomic_load_explicit(&home_slot(worker)->link.failures, memory_order_acquire)) &&
           node_ready(worker);
}

static void watch_gap(struct worker *worker)
{
    const struct slot_link *link = &worker->slot->link;
    watch_home(worker);
    const uint64_t began = atomic_load_explicit(&link->gap_since, memory_order_relaxed);
    if (began == 0 || atomic_load_explicit(&link->state, memory_order_relaxed) != LINK_UP ||
        (node.had_users && !home_is_well(worker)))
        return;
    if (node.had_users)
        send_gap(worker, worker->now_ms - began, false);
    node.told = true;
    KILLPOINT(GAP_MADE);
}

/* Failures of the other workers' links, and when the last one was. */
static uint32_t failures_elsewhere(const struct worker *worker, uint64_t *last_ms, bool *all_up)
{
    uint32_t failures = 0;
    *last_ms = 0;
    *all_up = true;
    for (uint32_t i = 0; i < worker->workers; i++) {
        const struct slot_link *link = &worker->segment->slot[i].link;
        /* Acquire, and before the state is read: pairs with the release in link.c. */
        const uint32_t count = atomic_load_explicit(&link->failures, memory_order_acquire);
        if (i != worker->id)
            failures += link_failures(count);
        const uint64_t ms = atomic_load_explicit(&link->failed_at, memory_order_relaxed);
        if (i != worker->id && ms > *last_ms)
            *last_ms = ms;
        if (link_failing(count) ||
            atomic_load_explicit(&link->state, memory_order_acquire) != LINK_UP)
            *all_up = false;
    }
    return failures;
}

/* Any other worker may be the home of our members' topics. Its failure is told to all of them, when
 * every link is up again. */
static void watch_topics_gap(struct worker *worker)
{
    struct topics_control *control = worker->topics.control;
    uint64_t last_ms;
    bool all_up;
    const uint32_t failures = failures_elsewhere(worker, &last_ms, &all_up);
    if (failures == control->gap_seen)
        return;
    if (node.topics_gap_ms == 0)
        node.topics_gap_ms = last_ms;
    const bool members = atomic_load_explicit(&control->members, memory_order_relaxed) > 0;
    if (members && !all_up)
        return;
    if (members)
        send_gap(worker, worker->now_ms - node.topics_gap_ms, true);
    KILLPOINT(TOPIC_GAP_MADE);
    node.topics_seen = failures;
    node.topics_told = true;
}

/* Only now: a worker that died with GAP in its outbox has told nobody. */
void node_flushed(struct worker *worker)
{
    if (node.told)
        atomic_store_explicit(&worker->slot->link.gap_since, 0, memory_order_relaxed);
    KILLPOINT(GAP_TOLD);
    if (node.topics_told) {
        worker->topics.control->gap_seen = node.topics_seen;
        node.topics_gap_ms = 0;
    }
    node.told = node.topics_told = false;
}

void node_turn(struct worker *worker)
{
    tell_home(worker);
    if (is_home(worker))
        follow_users(worker);
    watch_gap(worker);
    watch_topics_gap(worker);
    subscriptions_release(worker);
}

/* ---- The probe ---- */

static void send_probe(struct worker *worker)
{
    char channel[96];
    snprintf(channel, sizeof(channel), "%sprobe:%08x", worker->config->prefix,
             worker->segment->header->boot_id);
    const char *argv[] = {"PUBLISH", channel, "1"};
    const size_t lens[] = {strlen(argv[0]), strlen(argv[1]), strlen(argv[2])};
    command_send(worker, 3, argv, lens, NULL, NULL); /* if it fails, /readyz will show it */
}

void node_probe(struct worker *worker)
{
    if (!is_home(worker) ||
        atomic_load_explicit(&worker->slot->link.state, memory_order_relaxed) != LINK_UP)
        return;
    node.probed_s = worker->now_s;
    send_probe(worker);
}

void node_tick(struct worker *worker)
{
    if (worker->now_s - node.probed_s >= PROBE_EVERY_S)
        node_probe(worker);
}

bool node_serves(const struct worker *worker, const char **why)
{
    for (uint32_t i = 0; i < worker->workers; i++) {
        const struct slot *slot = &worker->segment->slot[i];
        *why = NULL;
        if (atomic_load_explicit(&slot->command, memory_order_relaxed) >= SLOT_DRAIN)
            *why = "draining";
        else if (atomic_load_explicit(&slot->link.state, memory_order_acquire) != LINK_UP)
            *why = "redis link down";
        else if (worker->now_ms - atomic_load_explicit(&slot->probed, memory_order_relaxed) >
                 PROBE_VALID_MS)
            *why = "no probe came through";
        if (*why)
            return false;
    }
    return true;
}

void node_recover(struct worker *worker)
{
    node.had_users = atomic_load_explicit(&worker->slot->ready_users, memory_order_relaxed) > 0;
    atomic_store_explicit(&worker->slot->present, node.had_users, memory_order_relaxed);
    /* Asking twice for the node's channels, or giving them up twice, does no harm; believing that
     * it was done might. */
    node.asked = !anybody(worker);
}
