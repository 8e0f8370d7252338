/*
 * See move.h. The master looks at the stages instead of being told of them: so a death changes
 * nothing for it, and there is no message that could be lost. What it writes of the segment is the
 * plan; and when nobody runs a slot any more, it gives the memory of it back.
 *
 * Where something does not come within its time, the move is given up as long as nothing has
 * changed hands. After that it can only be waited for: workers that hang are killed and those that
 * die are replaced as ever (supervise.c), and each goes on where the last one was.
 */
#include "master/move.h"

#include "common/clock.h"
#include "common/log.h"
#include "master/supervise.h"
#include "shm/slot.h"

#include <string.h>
#include <unistd.h>

enum {
    PREPARE_MS = 60 * 1000, /* to subscribe what may be a million channels */
    FENCE_MS = 10 * 1000,   /* from HOLD, when clients have to wait, to GIVE */
    REST_MS = 10 * 1000,    /* to give up what has been given up */
    COMPLAIN_MS = 10 * 1000 /* between log lines when there is no way back */
};

static struct {
    uint64_t began_ms, held_ms, rest_ms, complained_ms;
} move;

static const char *const phase_names[] = {
#define PHASE_NAME(name, text) [PLAN_##name] = text,
    PLAN_PHASES(PHASE_NAME)
#undef PHASE_NAME
};

/* By phase: the stage that ends it. GIVE ends with the processes. */
static const enum plan_stage ends_with[] = {
    [PLAN_PREPARE] = STAGE_PREPARED, [PLAN_HOLD] = STAGE_HELD,  [PLAN_SETTLE] = STAGE_SETTLED,
    [PLAN_FENCE] = STAGE_FENCED,     [PLAN_TAKE] = STAGE_TAKEN,
};

static struct plan plan_now(const struct master *master)
{
    return segment_plan(&master->segment);
}

static void set_plan(struct master *master, struct plan plan)
{
    log_debug("move", "phase=%s active=%u other=%u", phase_names[plan.phase], plan.active,
              plan.other);
    segment_set_plan(&master->segment, plan);
    supervise_wake(master);
}

static void set_phase(struct master *master, enum plan_phase phase)
{
    struct plan plan = plan_now(master);
    if (phase == PLAN_REST)
        move.rest_ms = clock_mono_ms();
    plan.phase = phase;
    set_plan(master, plan);
}

void move_begin(struct master *master, uint32_t workers)
{
    const struct plan plan = {.number = plan_now(master).number + 1,
                              .phase = PLAN_PREPARE,
                              .active = master->workers,
                              .other = workers};
    move.began_ms = clock_mono_ms();
    log_info("moving", "from=%u to=%u", plan.active, plan.other);
    set_plan(master, plan);
    for (uint32_t i = plan.active; i < plan.other; i++)
        supervise_run(master, i);
}

bool move_lets_go(const struct master *master, uint32_t i)
{
    const struct plan plan = plan_now(master);
    return plan.phase == PLAN_GIVE || (plan.phase == PLAN_REST && i >= plan.active);
}

/* ---- The phases ---- */

static bool all_have(const struct master *master, struct plan plan, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++)
        if (slot_stage(&master->segment.slot[i], plan.number) < ends_with[plan.phase])
            return false;
    return true;
}

static bool all_left(const struct master *master, struct plan plan)
{
    for (uint32_t i = 0; i < plan_slots(plan); i++)
        if (!master->charge[i].left)
            return false;
    return true;
}

/* Nobody runs: the successors begin with the other number. */
static void change_places(struct master *master, struct plan plan)
{
    master->workers = plan.other;
    set_plan(master, (struct plan){.number = plan.number,
                                   .phase = PLAN_TAKE,
                                   .active = plan.other,
                                   .other = plan.active});
    for (uint32_t i = 0; i < master->workers; i++)
        supervise_run(master, i);
}

/* The parcels have been taken; their slots' workers write none before the next move. */
static void close_parcels(const struct master *master, struct plan plan)
{
    for (uint32_t i = 0; i < plan_slots(plan); i++) {
        const int parcel = atomic_exchange(&master->segment.slot[i].parcel, 0);
        if (parcel > 0)
            close(parcel);
    }
}

/* At rest: whether everybody has given up what is not his any more, and those who are not needed
 * have left; their slots are given back then. A link that hangs is not waited for. */
static bool is_over(const struct master *master, struct plan plan)
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

static void finish(struct master *master, struct plan plan)
{
    close_parcels(master, plan);
    set_phase(master, PLAN_REST);
    log_info("moved", "from=%u to=%u ms=%llu", plan.other, plan.active,
             (unsigned long long)(clock_mono_ms() - move.began_ms));
}

/* The stages that the phase waits for are there. */
static void go_on(struct master *master, struct plan plan)
{
    if (plan.phase == PLAN_TAKE) {
        finish(master, plan);
        return;
    }
    if (plan.phase == PLAN_PREPARE)
        move.held_ms = clock_mono_ms();
    set_phase(master, plan.phase + 1);
}

/* ---- Time ---- */

static void complain(const struct master *master, struct plan plan, uint64_t now)
{
    if (now - move.held_ms < FENCE_MS || now - move.complained_ms < COMPLAIN_MS)
        return;
    move.complained_ms = now;
    for (uint32_t i = 0; i < plan_slots(plan); i++)
        log_error("move_waits", "phase=%s worker=%u stage=%d pid=%d", phase_names[plan.phase], i,
                  slot_stage(&master->segment.slot[i], plan.number), master->charge[i].pid);
}

static bool is_late(struct plan plan, uint64_t now)
{
    return plan.phase == PLAN_PREPARE ? now - move.began_ms > PREPARE_MS
                                      : now - move.held_ms > FENCE_MS;
}

static void look_at_clock(struct master *master, struct plan plan)
{
    const uint64_t now = clock_mono_ms();
    if (plan.phase >= PLAN_GIVE)
        complain(master, plan, now);
    else if (is_late(plan, now))
        move_cancel(master, "it took too long");
}

bool move_look(struct master *master)
{
    const struct plan plan = plan_now(master);
    if (plan.phase == PLAN_REST)
        return is_over(master, plan);
    if (plan.phase == PLAN_GIVE) {
        if (all_left(master, plan))
            change_places(master, plan);
    } else if (all_have(master, plan, plan.phase == PLAN_TAKE ? plan.active : plan_slots(plan))) {
        go_on(master, plan);
    }
    look_at_clock(master, plan_now(master));
    return false;
}

bool move_cancel(struct master *master, const char *why)
{
    const struct plan plan = plan_now(master);
    if (plan.phase == PLAN_REST)
        return true;
    if (plan.phase >= PLAN_GIVE)
        return false;
    log_warn("move_given_up", "phase=%s workers=%u why=%s", phase_names[plan.phase], plan.active,
             log_quote(why, strlen(why)));
    set_phase(master, PLAN_REST);
    return true;
}
