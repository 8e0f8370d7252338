/*
 * See move.h. The master polls the stages of the slots instead of receiving messages: so no message
 * can be lost, and the death of a worker changes nothing. The master writes only the plan to the
 * segment; and it frees the memory of a slot that no process uses any more.
 *
 * If a phase times out, the move is cancelled as long as no connection has changed its owner. After
 * that the master can only wait: hanging workers are killed and dead ones replaced as always
 * (supervise.c), and each successor continues where its predecessor was.
 */
#include "master/move.h"

#include "common/clock.h"
#include "common/log.h"
#include "master/supervise.h"
#include "shm/slot.h"

#include <string.h>
#include <unistd.h>

enum {
    PREPARE_MS = 60 * 1000, /* for PREPARE: a worker may subscribe a million channels */
    FENCE_MS = 10 * 1000,   /* from HOLD, when new clients begin to wait, to GIVE */
    REST_MS = 10 * 1000,    /* for workers to unsubscribe the channels that they gave away */
    COMPLAIN_MS = 10 * 1000 /* between log lines when the move can no longer be cancelled */
};

static struct {
    uint64_t began_ms, held_ms, rest_ms, complained_ms;
} move;

static const char *const phase_names[] = {
#define PHASE_NAME(name, text) [PLAN_##name] = text,
    PLAN_PHASES(PHASE_NAME)
#undef PHASE_NAME
};

/* The stage of a slot that ends each phase. GIVE ends when the processes have exited. */
static const enum plan_stage ends_with[] = {
    [PLAN_PREPARE] = STAGE_PREPARED, [PLAN_HOLD] = STAGE_HELD,  [PLAN_SETTLE] = STAGE_SETTLED,
    [PLAN_FENCE] = STAGE_FENCED,     [PLAN_TAKE] = STAGE_TAKEN,
};

static struct plan current_plan(const struct master *master)
{
    return segment_plan(&master->segment);
}

static void publish_plan(struct master *master, struct plan plan)
{
    log_debug("move", "phase=%s active=%u other=%u", phase_names[plan.phase], plan.active,
              plan.other);
    segment_set_plan(&master->segment, plan);
    supervise_wake(master);
}

static void publish_phase(struct master *master, enum plan_phase phase)
{
    struct plan plan = current_plan(master);
    if (phase == PLAN_REST)
        move.rest_ms = clock_mono_ms();
    plan.phase = phase;
    publish_plan(master, plan);
}

void move_begin(struct master *master, uint32_t workers)
{
    const struct plan plan = {.number = current_plan(master).number + 1,
                              .phase = PLAN_PREPARE,
                              .active = master->workers,
                              .other = workers};
    move.began_ms = clock_mono_ms();
    log_info("moving", "from=%u to=%u", plan.active, plan.other);
    publish_plan(master, plan);
    for (uint32_t i = plan.active; i < plan.other; i++)
        supervise_run(master, i);
}

bool move_lets_go(const struct master *master, uint32_t i)
{
    const struct plan plan = current_plan(master);
    return plan.phase == PLAN_GIVE || (plan.phase == PLAN_REST && i >= plan.active);
}

/* ---- The phases ---- */

static bool all_reached_stage(const struct master *master, struct plan plan, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++)
        if (slot_stage(&master->segment.slot[i], plan.number) < ends_with[plan.phase])
            return false;
    return true;
}

static bool all_workers_left(const struct master *master, struct plan plan)
{
    for (uint32_t i = 0; i < plan_slots(plan); i++)
        if (!master->charge[i].left)
            return false;
    return true;
}

/* Begins TAKE when no worker runs: starts the new number of workers. */
static void begin_take_phase(struct master *master, struct plan plan)
{
    master->workers = plan.other;
    publish_plan(master, (struct plan){.number = plan.number,
                                       .phase = PLAN_TAKE,
                                       .active = plan.other,
                                       .other = plan.active});
    for (uint32_t i = 0; i < master->workers; i++)
        supervise_run(master, i);
}

/* Closes the parcels, which have been taken. Workers write no new ones before the next move. */
static void close_taken_parcels(const struct master *master, struct plan plan)
{
    for (uint32_t i = 0; i < plan_slots(plan); i++) {
        const int parcel = atomic_exchange(&master->segment.slot[i].parcel, 0);
        if (parcel > 0)
            close(parcel);
    }
}

/* True if, in phase REST, every worker has unsubscribed the channels that it gave away and
 * superfluous workers have left; then frees their slots. After REST_MS it does not wait for hanging
 * links. */
static bool move_is_over(const struct master *master, struct plan plan)
{
    const bool late = clock_mono_ms() - move.rest_ms > REST_MS;
    for (uint32_t i = 0; i < plan_slots(plan); i++) {
        const bool done = i < plan.active
                              ? slot_stage(&master->segment.slot[i], plan.number) == STAGE_TRIMMED
                              : master->charge[i].left;
        if (!done && !late)
            return false;
    }
    for (uint32_t i = plan.active; i < plan_slots(plan); i++)
        if (master->charge[i].left)
            segment_release(&master->segment, i);
    return true;
}

static void finish_move(struct master *master, struct plan plan)
{
    close_taken_parcels(master, plan);
    publish_phase(master, PLAN_REST);
    log_info("moved", "from=%u to=%u ms=%llu", plan.other, plan.active,
             (unsigned long long)(clock_mono_ms() - move.began_ms));
}

/* Begins the next phase: all slots have reached the stage that ends this one. */
static void begin_next_phase(struct master *master, struct plan plan)
{
    if (plan.phase == PLAN_TAKE) {
        finish_move(master, plan);
        return;
    }
    if (plan.phase == PLAN_PREPARE)
        move.held_ms = clock_mono_ms();
    publish_phase(master, plan.phase + 1);
}

/* ---- Time ---- */

static void log_waiting_slots(const struct master *master, struct plan plan, uint64_t now)
{
    if (now - move.held_ms < FENCE_MS || now - move.complained_ms < COMPLAIN_MS)
        return;
    move.complained_ms = now;
    for (uint32_t i = 0; i < plan_slots(plan); i++)
        log_error("move_waits", "phase=%s worker=%u stage=%d pid=%d", phase_names[plan.phase], i,
                  slot_stage(&master->segment.slot[i], plan.number), master->charge[i].pid);
}

static bool move_is_late(struct plan plan, uint64_t now)
{
    return plan.phase == PLAN_PREPARE ? now - move.began_ms > PREPARE_MS
                                      : now - move.held_ms > FENCE_MS;
}

static void check_move_timeout(struct master *master, struct plan plan)
{
    const uint64_t now = clock_mono_ms();
    if (plan.phase >= PLAN_GIVE)
        log_waiting_slots(master, plan, now);
    else if (move_is_late(plan, now))
        move_cancel(master, "it took too long");
}

bool move_look(struct master *master)
{
    const struct plan plan = current_plan(master);
    if (plan.phase == PLAN_REST)
        return move_is_over(master, plan);
    if (plan.phase == PLAN_GIVE) {
        if (all_workers_left(master, plan))
            begin_take_phase(master, plan);
    } else if (all_reached_stage(master, plan,
                                 plan.phase == PLAN_TAKE ? plan.active : plan_slots(plan))) {
        begin_next_phase(master, plan);
    }
    check_move_timeout(master, current_plan(master));
    return false;
}

bool move_cancel(struct master *master, const char *why)
{
    const struct plan plan = current_plan(master);
    if (plan.phase == PLAN_REST)
        return true;
    if (plan.phase >= PLAN_GIVE)
        return false;
    log_warn("move_given_up", "phase=%s workers=%u why=%s", phase_names[plan.phase], plan.active,
             log_quote(why, strlen(why)));
    publish_phase(master, PLAN_REST);
    return true;
}
