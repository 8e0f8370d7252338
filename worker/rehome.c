/*
 * See rehome.h. A record changes its owner by one store, of its word. Data in the record that only
 * the old owner can use is removed before.
 *
 * No other process writes to a slot that is being left, so the gaps owed to its clients are noted
 * there and read by all workers that may have got some of them.
 */
#include "worker/rehome.h"

#include "common/killpoint.h"
#include "worker/client.h"
#include "worker/descriptors.h"
#include "worker/link.h"
#include "worker/move.h"
#include "worker/gap.h"
#include "worker/kicks.h"
#include "worker/parcel.h"
#include "worker/topic.h"

#include <string.h>

_Static_assert((int)WORKERS_MAX <= (int)CONN_ON_THE_WAY,
               "an owner is a worker, or on the way to one");

/* ---- Giving ---- */

uint32_t rehome_owner(const struct worker *worker, const struct conn *conn)
{
    const struct plan plan = worker->plan;
    const enum conn_state state = word_state(conn_word(conn));
    if (plan.phase != PLAN_GIVE)
        return worker->id;
    if ((state == CONN_SUBSCRIBING || state == CONN_OPEN) && conn->user_len > 0)
        return worker_channel_home(worker, "user:", conn->user, conn->user_len, plan.other);
    return worker->id % plan.other;
}

static void rehome_give_connections(struct worker *worker)
{
    const uint32_t high = worker_high(worker);
    for (uint32_t fd = 0; fd < high; fd++) {
        struct conn *conn = &worker->table[fd];
        if (!word_is_of(conn_word(conn), worker->id))
            continue;
        const uint32_t owner = rehome_owner(worker, conn);
        if (owner == worker->id)
            continue;
        client_unwatch(worker, conn);
        KILLPOINT(GIVE_TORN);
        conn_hand_on(conn, owner);
        KILLPOINT(GIVE_HALF);
        stats_add(&worker->stats->rehomed, 1);
    }
}

/* Closes a slot that is not needed any more: none of its resources may stay open or seem to exist.
 * Its counters stay, and so do `high`, by which its connections are found, and the positions in its
 * rings and streams, which never decrease. */
static void retire_slot(struct worker *worker)
{
    struct slot *slot = worker->slot;
    link_close(worker);
    KILLPOINT(RETIRE_HALF);
    descriptors_close_noted(worker);
    memset(&slot->users, 0, sizeof(slot->users));
    memset(&slot->topics, 0, sizeof(slot->topics));
    _Atomic uint32_t *const words[] = {&slot->connections, &slot->ready_users, &slot->present,
                                       &slot->sleeping,    &slot->node_state,  &slot->commands_up};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        atomic_store_explicit(words[i], 0, memory_order_release);
}

static void rehome_give_away(struct worker *worker)
{
    KILLPOINT(GIVE_BEGUN);
    rehome_give_connections(worker);
    KILLPOINT(GIVE_ENDED);
    if (worker->id >= worker->plan.other)
        retire_slot(worker);
}

int rehome_leave(struct worker *worker)
{
    const bool guest = worker->id >= worker->plan.active;
    if (worker->plan.phase == PLAN_REST && guest)
        retire_slot(worker);
    if (worker->plan.phase != PLAN_GIVE || guest)
        return 0;
    gap_leave(worker);
    if (!parcel_write(worker))
        return 1; /* the successor tries again */
    rehome_give_away(worker);
    return 0;
}

bool rehome_resume(struct worker *worker)
{
    if (worker->plan.phase != PLAN_GIVE || worker->id >= worker->plan.active ||
        atomic_load_explicit(&worker->slot->parcel, memory_order_acquire) == 0)
        return false;
    rehome_give_away(worker);
    return true;
}

/* ---- Taking ---- */

void rehome_begin(struct worker *worker)
{
    struct slot *slot = worker->slot;
    uint32_t high = 0;
    if (worker->plan.phase != PLAN_TAKE || slot_stage(slot, worker->plan.number) >= STAGE_TAKING)
        return;
    for (uint32_t i = 0; i < worker_slots(worker); i++) {
        const uint32_t other = atomic_load(&worker->segment->slot[i].high);
        high = other > high ? other : high;
    }
    atomic_store_explicit(&slot->high, high, memory_order_release);
    for (uint32_t fd = 0; fd < high; fd++)
        conn_take(&worker->table[fd], worker->id);
    KILLPOINT(TAKE_OWNED);
    users_rebuild(&worker->users, worker->id, high);
    KILLPOINT(TAKE_INDEXED);
    topics_rebuild(&worker->topics, worker->id, high);
    topic_rehome(worker);
    kicks_rehome(worker);
    gap_take(worker);
    /* From here on a successor finds the take begun, and goes on as after any death. */
    slot_set_stage(slot, worker->plan.number, STAGE_TAKING);
    KILLPOINT(TAKE_BEGUN);
}

void rehome_finish(struct worker *worker)
{
    if (worker->plan.phase == PLAN_TAKE && move_blind(worker) && link_writable(worker))
        link_fail(worker, "the link was made again while the number of workers changed");
}
