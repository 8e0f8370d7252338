/*
 * See node.h. The probe is a PUBLISH by the node's home to a channel of this node: it returns
 * through Redis and is copied through shared memory to every worker, which notes the time.
 */
#include "worker/node.h"

#include "common/killpoint.h"
#include "worker/command.h"
#include "worker/gap.h"
#include "worker/move.h"
#include "worker/rings.h"
#include "worker/subscribe.h"

#include <stdio.h>
#include <string.h>

enum {
    PROBE_EVERY_S = 3,     /* seconds between probes */
    PROBE_VALID_MS = 10000 /* how long a probe proves that the path works */
};

/* Private to the process; node_recover rebuilds it. */
static struct {
    bool had_users;    /* whether `present` says that this worker has users */
    bool asked;        /* node's home: the channels are requested */
    uint64_t batch;    /* node's home: the batch of that request */
    uint32_t probed_s; /* node's home: when the last probe was sent */
} node;

static struct slot *node_home_slot(const struct worker *worker)
{
    return &worker->segment->slot[worker_node_home(worker)];
}

static bool node_home_is_here(const struct worker *worker)
{
    return worker->id == worker_node_home(worker);
}

static enum node_state node_present_state(const struct worker *worker)
{
    return (enum node_state)atomic_load_explicit(&node_home_slot(worker)->node_state,
                                                 memory_order_acquire);
}

bool node_ready(const struct worker *worker)
{
    return node_present_state(worker) == NODE_READY;
}

static bool node_has_users(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->workers; i++)
        if (atomic_load_explicit(&worker->segment->slot[i].present, memory_order_relaxed))
            return true;
    return false;
}

/* ---- The node's channels ---- */

static const char *const user_channels[] = {"all", "users"};

static void node_request_channels(struct worker *worker, bool subscribe)
{
    for (size_t i = 0; i < sizeof(user_channels) / sizeof(user_channels[0]); i++)
        subscriptions_channel(worker, user_channels[i], subscribe);
    node.asked = subscribe;
    node.batch = worker->slot->link.batch_sent + 1;
}

static void node_set_state(struct worker *worker, enum node_state state)
{
    atomic_store_explicit(&worker->slot->node_state, state, memory_order_release);
    rings_tell_all(worker);
}

void node_subscribe(struct worker *worker)
{
    char probe[32];
    if (!node_home_is_here(worker))
        return;
    snprintf(probe, sizeof(probe), "probe:%08x", worker->segment->header->boot_id);
    subscriptions_channel(worker, probe, true);
    subscriptions_channel(worker, "ctl", true);
    node.asked = node_has_users(worker);
    if (node.asked)
        node_request_channels(worker, true);
    node.probed_s = 0;
}

void node_confirmed(struct worker *worker)
{
    if (node_home_is_here(worker) && node.asked && !node_ready(worker) &&
        worker->slot->link.batch_confirmed >= node.batch)
        node_set_state(worker, NODE_READY);
}

/* Unsubscribes from the channels because the last user seems to be gone. A worker that gets a user
 * at this moment must first learn that it cannot rely on them. */
static void node_give_up_channels(struct worker *worker)
{
    atomic_store_explicit(&worker->slot->node_state, NODE_DOUBTFUL, memory_order_relaxed);
    KILLPOINT(NODE_DOUBTFUL);
    /* Pairs with the fence in node_tell_presence: either this sees the other's user, or that worker
     * sees the state DOUBTFUL. */
    atomic_thread_fence(memory_order_seq_cst);
    if (node_has_users(worker)) {
        if (worker->slot->link.batch_confirmed >= node.batch)
            node_set_state(worker, NODE_READY);
        return;
    }
    node_request_channels(worker, false);
    node_set_state(worker, NODE_DOWN);
    KILLPOINT(NODE_GIVEN_UP);
}

/* Subscribes or unsubscribes in the node's home, as users come and go. */
static void node_follow_users(struct worker *worker)
{
    const uint32_t link = atomic_load_explicit(&worker->slot->link.state, memory_order_relaxed);
    if (link != LINK_UP && link != LINK_SUBSCRIBING) {
        node.asked = false;
        if (node_present_state(worker) != NODE_DOWN)
            node_set_state(worker, NODE_DOWN);
        return;
    }
    const bool wanted = node_has_users(worker);
    if (wanted && !node.asked)
        node_request_channels(worker, true);
    else if (!wanted && node.asked)
        node_give_up_channels(worker);
}

/* Tells the node's home that this worker's first user came or its last one left. Only this function
 * changes `present`, so a user that leaves while another arrives is not reported as an absence. */
static void node_tell_presence(struct worker *worker)
{
    const bool have = atomic_load_explicit(&worker->slot->ready_users, memory_order_relaxed) > 0;
    if (have == node.had_users)
        return;
    node.had_users = have;
    atomic_store_explicit(&worker->slot->present, have, memory_order_relaxed);
    KILLPOINT(NODE_PRESENT);
    /* Pairs with the fence in node_give_up_channels. */
    atomic_thread_fence(memory_order_seq_cst);
    rings_tell_all(worker);
}

void node_turn(struct worker *worker)
{
    node_tell_presence(worker);
    if (node_home_is_here(worker) && move_knows_users(worker))
        node_follow_users(worker);
    gap_turn(worker);
    subscriptions_release(worker);
}

/* ---- The probe ---- */

static void node_send_probe(struct worker *worker)
{
    char channel[96];
    snprintf(channel, sizeof(channel), "%sprobe:%08x", worker->config->prefix,
             worker->segment->header->boot_id);
    const char *argv[] = {"PUBLISH", channel, "1"};
    const size_t lens[] = {strlen(argv[0]), strlen(argv[1]), strlen(argv[2])};
    command_send(worker, 3, argv, lens, NULL, NULL); /* a failure shows in /readyz */
}

void node_probe(struct worker *worker)
{
    if (!node_home_is_here(worker) ||
        atomic_load_explicit(&worker->slot->link.state, memory_order_relaxed) != LINK_UP)
        return;
    node.probed_s = worker->now_s;
    node_send_probe(worker);
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
        else if (atomic_load_explicit(&slot->failing, memory_order_relaxed) > 0)
            *why = "a worker keeps dying: see worker_died in the log";
        else if (atomic_load_explicit(&slot->link.state, memory_order_acquire) != LINK_UP)
            *why = "redis link down";
        else if (!atomic_load_explicit(&slot->commands_up, memory_order_relaxed))
            *why = "redis command link down";
        else if (atomic_load_explicit(&slot->probed, memory_order_relaxed) + PROBE_VALID_MS <
                 worker->now_ms) /* `probed` may be later than now_ms: another worker noted it */
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
    /* It does no harm to request the node's channels twice, or to give them up twice; to believe by
     * mistake that it was done might. */
    node.asked = !node_has_users(worker);
}
