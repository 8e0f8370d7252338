/*
 * See change.h. What is done for a change, reload.c and upgrade.c know; here is when it may begin,
 * when it has ended, and who is told.
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
    LOOK_EVERY_MS = 20, /* for whether every worker serves */
    SERVE_MARGIN_S = 5  /* beyond `watchdog`, within which one that hangs is replaced */
};

static void (*const begin[CHANGE_COUNT])(struct master *master) = {
    [CHANGE_RELOAD] = reload,
    [CHANGE_UPGRADE] = upgrade_begin,
};

static struct {
    bool under_way;
    bool start; /* nobody has asked for it, and nobody gets a report */
    enum change_kind kind;
    enum change_outcome outcome;
    uint64_t decided_ms;
    char text[2 * CHANGE_TEXT_MAX]; /* the board cuts it, and says so */
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

static void start(struct master *master, enum change_kind kind)
{
    event_del(change.look); /* of a start that is not over yet: who is told is told after this */
    change.under_way = true;
    change.start = false;
    change.kind = kind;
    change.text[0] = '\0';
    board_begin(master->segment.board, kind);
    notify_reloading();
    begin[kind](master);
}

/* Begins what was asked for meanwhile; its end begins what is left. */
static void next(struct master *master)
{
    _Atomic uint32_t *asked = &master->segment.board->asked;
    const uint32_t bits = atomic_load_explicit(asked, memory_order_relaxed);
    uint32_t kind = 0;
    while (kind < CHANGE_COUNT && !(bits & 1u << kind))
        kind++;
    if (kind == CHANGE_COUNT)
        return;
    atomic_store_explicit(asked, bits & ~(1u << kind), memory_order_relaxed);
    start(master, (enum change_kind)kind);
}

static void finish(struct master *master)
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
    next(master);
}

/* Not for ever: who has made a change by which workers die must be able to make another. */
static bool is_late(const struct master *master)
{
    const uint64_t limit_s = (uint64_t)master->config->watchdog + SERVE_MARGIN_S;
    return !change.start && clock_mono_ms() - change.decided_ms > limit_s * 1000;
}

static void give_up(enum change_outcome outcome, const char *line)
{
    if (change.outcome == CHANGE_REFUSED)
        return;
    change.outcome = outcome;
    change_note(line);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    const bool probation = rollback_possible(), late = is_late(master);
    const bool serving = probation ? supervise_proven(master) : supervise_serving(master);
    (void)fd, (void)what;
    if (probation && !serving && (late || supervise_failing(master))) {
        event_del(change.look);
        upgrade_go_back(master);
        return;
    }
    if (master->stopping)
        give_up(CHANGE_REFUSED, "the server is stopping");
    else if (!serving && late)
        give_up(CHANGE_FAILED, "not every worker is serving: see the log");
    if (master->stopping || serving || late)
        finish(master);
}

void change_end(struct master *master, enum change_outcome outcome)
{
    change.outcome = outcome;
    change.decided_ms = clock_mono_ms();
    event_add(change.look, &(struct timeval){0, LOOK_EVERY_MS * 1000});
    on_look(-1, 0, master);
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
        start(master, kind);
}

/* It may have ended with the version before, which is this one. */
static enum change_outcome end_of_upgrade(void)
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
    change.look = event_new(master->base, -1, EV_PERSIST, on_look, master);
    if (!change.look || reload_open(master) == -1)
        return -1;
    change.under_way = true;
    change.start = !handover_resumed();
    change.kind = CHANGE_UPGRADE;
    change_end(master, end_of_upgrade());
    return 0;
}
