/*
 * See stop.h. The number of clients of every worker is published before any worker begins to drain,
 * so that together the workers spread the reconnects evenly.
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
    MARGIN_MS = 5000    /* on top of drain_timeout, after which workers are killed */
};

static struct event *look;
static uint64_t looked_ms;

/* Kills all workers. Repeated at each check, because one may have been started since. */
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

static void check_stop_progress(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    (void)fd, (void)what;
    master->stop_ms += pause_since(&looked_ms, clock_mono_ms()); /* pauses do not count */
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

/* Publishes what workers need before they drain: the kind of stop, and each worker's clients. */
static void publish_client_counts(const struct master *master, enum ending ending)
{
    uint32_t share[WORKERS_MAX];
    for (uint32_t i = 0; i < master->workers; i++)
        share[i] = atomic_load_explicit(&master->segment.slot[i].ready_users, memory_order_relaxed);
    board_end(master->segment.board, ending, share, master->workers);
}

static void notify_stop_time(const struct master *master)
{
    notify_stopping(master->config->drain_timeout + 2 * MARGIN_MS / 1000);
}

static void drain_workers(struct master *master, enum ending ending)
{
    master->stopping = true;
    master->stop_ms = clock_mono_ms();
    master->status = ending == ENDING_RESTART ? EXIT_AGAIN : 0;
    log_info("draining", "for=%s", ending == ENDING_RESTART ? "restart" : "stop");
    if (master->upgrading) { /* workers that have left must notify their clients, too */
        master->upgrading = false;
        supervise_restart(master);
    }
    publish_client_counts(master, ending);
    supervise_command(master, SLOT_DRAIN);
    look = event_new(master->base, -1, EV_PERSIST, check_stop_progress, master);
    if (!look || event_add(look, &(struct timeval){0, LOOK_EVERY_MS * 1000}) == -1)
        supervise_kill(master);
}

/* Makes a stop for the new binary a stop by itself. Clients were already told of a restart. */
static void stop_without_replacing(struct master *master, enum ending ending)
{
    master->replacing = false;
    master->status = ending == ENDING_RESTART ? EXIT_AGAIN : 0;
    notify_stop_time(master);
}

void stop_begin(struct master *master, enum ending ending)
{
    rollback_end();
    if (master->replacing) {
        stop_without_replacing(master, ending);
    } else if (master->stopping) {
        supervise_command(master, SLOT_STOP);
    } else if (!reload_delays_stop(master, ending)) {
        notify_stop_time(master);
        drain_workers(master, ending);
    }
}

/* Does not send STOPPING=1 to systemd, because the process continues. */
void stop_begin_upgrade(struct master *master)
{
    master->replacing = true;
    drain_workers(master, ENDING_RESTART);
}
