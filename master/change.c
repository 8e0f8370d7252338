/*
 * See change.h. reload.c and upgrade.c carry out a change; this file decides when a change may
 * begin and when it has ended, and reports its outcome.
 */
#include "master/change.h"

#include "common/clock.h"
#include "common/log.h"
#include "master/handover.h"
#include "master/notify.h"
#include "master/reload.h"
#include "master/rollback.h"
#include "master/supervise.h"
#include "master/upgrade.h"

#include <string.h>

enum {
    LOOK_EVERY_MS = 20, /* how often to check that every worker serves */
    SERVE_MARGIN_S = 5  /* on top of `watchdog`, after which a hanging worker is replaced */
};

static void (*const begin[CHANGE_COUNT])(struct master *master) = {
    [CHANGE_RELOAD] = reload,
    [CHANGE_UPGRADE] = upgrade_begin,
};

static struct {
    bool under_way;
    bool start; /* the start of the program, which has no report */
    enum change_kind kind;
    enum change_outcome outcome;
    uint64_t decided_ms;
    char text[2 * CHANGE_TEXT_MAX]; /* the board truncates it visibly */
    struct event *look;
} change;

void change_note(const char *line)
{
    const size_t len = strlen(change.text);
    if (len + strlen(line) + 2 > sizeof(change.text))
        return;
    strcpy(change.text + len, len > 0 ? "\n" : "");
    strcat(change.text, line);
}

static void begin_change(struct master *master, enum change_kind kind)
{
    event_del(change.look); /* of a start that has not ended: READY=1 then follows this change */
    change.under_way = true;
    change.start = false;
    change.kind = kind;
    change.text[0] = '\0';
    board_begin(master->segment.board, kind);
    notify_reloading();
    begin[kind](master);
}

/* Begins the first change that was requested meanwhile; when that ends, the next one begins. */
static void begin_next_change(struct master *master)
{
    _Atomic uint32_t *asked = &master->segment.board->asked;
    const uint32_t bits = atomic_load_explicit(asked, memory_order_relaxed);
    uint32_t kind = 0;
    while (kind < CHANGE_COUNT && !(bits & 1u << kind))
        kind++;
    if (kind == CHANGE_COUNT)
        return;
    atomic_store_explicit(asked, bits & ~(1u << kind), memory_order_relaxed);
    begin_change(master, (enum change_kind)kind);
}

static void finish_change(struct master *master)
{
    event_del(change.look);
    rollback_end();
    change.under_way = false;
    if (!change.start) {
        board_report(master->segment.board, change.kind, change.outcome, clock_wall_ms(),
                     change.text);
        log_info("changed", "by=%s outcome=%s", change_name(change.kind),
                 change_outcome_name(change.outcome));
    }
    change.start = false;
    if (master->stopping)
        return;
    notify_ready(master);
    begin_next_change(master);
}

/* True if it is time to give up: an operator whose change makes workers crash must be able to make
 * another change. */
static bool change_is_late(const struct master *master)
{
    const uint64_t limit_s = (uint64_t)master->config->watchdog + SERVE_MARGIN_S;
    return !change.start && clock_mono_ms() - change.decided_ms > limit_s * 1000;
}

static void give_up_waiting(enum change_outcome outcome, const char *line)
{
    if (change.outcome == CHANGE_REFUSED)
        return;
    change.outcome = outcome;
    change_note(line);
}

static void check_change_end(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    const bool probation = rollback_possible(), late = change_is_late(master);
    const bool serving = probation ? supervise_proven(master) : supervise_serving(master);
    (void)fd, (void)what;
    if (probation && !serving && (late || supervise_failing(master))) {
        event_del(change.look);
        upgrade_go_back(master);
        return;
    }
    if (master->stopping)
        give_up_waiting(CHANGE_REFUSED, "the server is stopping");
    else if (!serving && late)
        give_up_waiting(CHANGE_FAILED, "not every worker is serving: see the log");
    if (master->stopping || serving || late)
        finish_change(master);
}

void change_end(struct master *master, enum change_outcome outcome)
{
    change.outcome = outcome;
    change.decided_ms = clock_mono_ms();
    event_add(change.look, &(struct timeval){0, LOOK_EVERY_MS * 1000});
    check_change_end(-1, 0, master);
}

void change_ask(struct master *master, enum change_kind kind)
{
    _Atomic uint32_t *asked = &master->segment.board->asked;
    if (master->stopping)
        return;
    if (change.under_way && !change.start)
        atomic_store_explicit(asked, atomic_load_explicit(asked, memory_order_relaxed) | 1u << kind,
                              memory_order_relaxed);
    else
        begin_change(master, kind);
}

/* Returns the outcome of an upgrade. If it was rolled back, this process is the previous version.
 */
static enum change_outcome outcome_of_upgrade(void)
{
    const char *why = rollback_reason();
    if (!why)
        return CHANGE_DONE;
    log_error("rolled_back", "why=%s", log_quote(why, strlen(why)));
    change_note(why);
    change_note("the previous version has taken over again");
    return handover_restarted() ? CHANGE_FAILED : CHANGE_REFUSED;
}

int change_open(struct master *master)
{
    change.look = event_new(master->base, -1, EV_PERSIST, check_change_end, master);
    if (!change.look || reload_open(master) == -1)
        return -1;
    change.under_way = true;
    change.start = !handover_resumed();
    change.kind = CHANGE_UPGRADE;
    change_end(master, outcome_of_upgrade());
    return 0;
}
