/*
 * See stop.h. How many clients each worker has is written down for all before the first of them is
 * told, so that together they spread them evenly.
 */
#include "master/stop.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/pause.h"
#include "master/notify.h"
#include "master/reload.h"
#include "master/rollback.h"
#include "master/supervise.h"
#include "master/upgrade.h"

enum {
    LOOK_EVERY_MS = 20, /* while stopping */
    MARGIN_MS = 5000    /* beyond drain_timeout, before workers are killed */
};

static struct event *look;
static uint64_t looked_ms;

/* Killed again at each look: one may have been started since. */
static void kill_late_workers(struct master *master)
{
    static bool logged;

    if (!logged)
        log_error("stop_timeout", "seconds=%u why=\"workers did not end in time: killed\"",
                  master->config->drain_timeout + MARGIN_MS / 1000);
    logged = true;
    supervise_kill(master);
    master->status = 2;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    (void)fd, (void)what;
    master->stop_ms += pause_since(&looked_ms, clock_mono_ms()); /* does not count */
    const uint64_t spent = looked_ms - master->stop_ms;
    if (supervise_drained(master))
        supervise_command(master, SLOT_STOP);
    if (spent > (uint64_t)master->config->drain_timeout * 1000 + MARGIN_MS)
        kill_late_workers(master);
    if (!supervise_gone(master))
        return;
    reload_close(master);
    if (master->replacing)
        upgrade_exec_anew(master);
    listeners_close(&master->listeners, NULL);
    event_base_loopbreak(master->base);
}

/* What workers need to know before they begin. */
static void announce(const struct master *master, enum ending ending)
{
    uint32_t share[WORKERS_MAX];
    for (uint32_t i = 0; i < master->workers; i++)
        share[i] = atomic_load_explicit(&master->segment.slot[i].ready_users, memory_order_relaxed);
    board_end(master->segment.board, ending, share, master->workers);
}

static void tell_stopping(const struct master *master)
{
    notify_stopping(master->config->drain_timeout + 2 * MARGIN_MS / 1000);
}

static void drain(struct master *master, enum ending ending)
{
    master->stopping = true;
    master->stop_ms = clock_mono_ms();
    master->status = ending == ENDING_RESTART ? EXIT_AGAIN : 0;
    log_info("draining", "for=%s", ending == ENDING_RESTART ? "restart" : "stop");
    if (master->upgrading) { /* some workers have left already: their clients are to be told, too */
        master->upgrading = false;
        supervise_restart(master);
    }
    announce(master, ending);
    supervise_command(master, SLOT_DRAIN);
    look = event_new(master->base, -1, EV_PERSIST, on_look, master);
    if (!look || event_add(look, &(struct timeval){0, LOOK_EVERY_MS * 1000}) == -1)
        supervise_kill(master);
}

/* Clients have been told already that it is for a restart. */
static void stop_after_all(struct master *master, enum ending ending)
{
    master->replacing = false;
    master->status = ending == ENDING_RESTART ? EXIT_AGAIN : 0;
    tell_stopping(master);
}

void stop_begin(struct master *master, enum ending ending)
{
    rollback_end();
    if (master->replacing) {
        stop_after_all(master, ending);
    } else if (master->stopping) {
        supervise_command(master, SLOT_STOP);
    } else if (!reload_delays_stop(master, ending)) {
        tell_stopping(master);
        drain(master, ending);
    }
}

/* systemd is told nothing but that a change is under way: the process stays. */
void stop_begin_upgrade(struct master *master)
{
    master->replacing = true;
    drain(master, ENDING_RESTART);
}
