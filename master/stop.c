/*
 * See stop.h.
 */
#include "master/stop.h"

#include "common/clock.h"
#include "common/log.h"
#include "master/notify.h"
#include "master/reload.h"
#include "master/supervise.h"

enum {
    LOOK_EVERY_MS = 20, /* while stopping */
    MARGIN_MS = 5000    /* beyond drain_timeout, before workers are killed */
};

static struct event *look;

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    const uint64_t spent = clock_mono_ms() - master->stop_ms;
    (void)fd, (void)what;
    if (supervise_drained(master))
        supervise_command(master, SLOT_STOP);
    if (spent > (uint64_t)master->config->drain_timeout * 1000 + MARGIN_MS) {
        log_error("stop_timeout", "why=\"workers do not end\"");
        supervise_kill(master);
        master->status = 2;
    }
    if (!supervise_gone(master))
        return;
    reload_end(master);
    listeners_close(&master->listeners, NULL);
    event_base_loopbreak(master->base);
}

void stop_begin(struct master *master)
{
    if (master->stopping) {
        supervise_command(master, SLOT_STOP);
        return;
    }
    if (reload_delays_stop(master))
        return;
    master->stopping = true;
    master->stop_ms = clock_mono_ms();
    log_info("draining", "");
    notify_stopping(master->config->drain_timeout + 2 * MARGIN_MS / 1000);
    supervise_command(master, SLOT_DRAIN);
    look = event_new(master->base, -1, EV_PERSIST, on_look, master);
    if (!look || event_add(look, &(struct timeval){0, LOOK_EVERY_MS * 1000}) == -1)
        supervise_kill(master);
}
