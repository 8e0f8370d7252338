/*
 * See reload.h. Everything that can fail is done before anything changes. Old listeners stay open
 * while there is a worker that accepts on them: the number of a descriptor that is closed under it
 * could be another's the moment after.
 */
#include "master/reload.h"

#include "common/log.h"
#include "master/move.h"
#include "master/stop.h"
#include "master/supervise.h"
#include "master/upgrade.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_EVERY_MS = 1 /* while a reload is under way */ };

/* What config_load has printed, as lines of the log. */
static void log_mistakes(char *text)
{
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
        if (line[0])
            log_error("reload_refused", "mistake=%s", log_quote(line, strlen(line)));
}

static void log_kept(const char *key)
{
    log_warn("reload_kept", "key=%s why=\"it needs a restart\"", key);
}

static struct config *read_again(const struct master *master)
{
    const struct invocation *invocation = master->invocation;
    char *mistakes = NULL;
    size_t len = 0;
    FILE *errors = open_memstream(&mistakes, &len);
    if (!errors)
        return NULL;
    struct config *fresh =
        config_load(invocation->file, invocation->override, invocation->overrides, errors);
    fclose(errors);
    if (!fresh)
        log_mistakes(mistakes);
    free(mistakes);
    return fresh;
}

/* ---- One after another ---- */

static struct {
    struct event *look;
    struct listeners old; /* accepted from until the last old worker has left */
    bool under_way, moving;
    bool wanted[RELOAD_REQUESTS]; /* what was asked for meanwhile */
} state = {.old.admin = -1};

bool reload_delays(enum reload_request request)
{
    if (!state.under_way)
        return false;
    if (!state.wanted[request])
        log_info("reload_first", "why=\"a reload is under way\"");
    state.wanted[request] = true;
    return true;
}

bool reload_delays_stop(struct master *master)
{
    if (state.moving && move_cancel(master, "the server is to stop"))
        return false;
    /* A worker that has left, and whose successor has not come, could say BYE to nobody. */
    return !state.wanted[RELOAD_STOP] && reload_delays(RELOAD_STOP);
}

static bool was_wanted(enum reload_request request)
{
    const bool wanted = state.wanted[request];
    state.wanted[request] = false;
    return wanted;
}

/* Each may have to wait for the one before it, and is then noted again. */
void reload_go_on(struct master *master)
{
    const bool again = was_wanted(RELOAD_AGAIN), upgrade = was_wanted(RELOAD_UPGRADE);
    if (was_wanted(RELOAD_STOP))
        stop_begin(master);
    if (again)
        reload(master);
    if (upgrade)
        upgrade_begin(master);
}

void reload_end(struct master *master)
{
    (void)master;
    listeners_close(&state.old, &master->listeners);
}

static void end(struct master *master)
{
    event_del(state.look);
    state.under_way = state.moving = false;
    reload_go_on(master);
}

/* The last old worker has left. */
static void replaced(struct master *master)
{
    const uint32_t workers = master_workers(master->config);
    listeners_close(&state.old, &master->listeners);
    log_info("reloaded", "");
    state.moving = workers != master->workers && !state.wanted[RELOAD_AGAIN] &&
                   !state.wanted[RELOAD_STOP];
    if (state.moving)
        move_begin(master, workers);
    else
        end(master);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    (void)fd, (void)what;
    if (master->stopping || !state.under_way) /* or it was refused */
        event_del(state.look);
    else if (!state.moving && supervise_reloaded(master))
        replaced(master);
    else if (state.moving && move_look(master))
        end(master);
}

/* ---- The beginning ---- */

static bool look_from_now_on(struct master *master)
{
    if (!state.look)
        state.look = event_new(master->base, -1, EV_PERSIST, on_look, master);
    return state.look && event_add(state.look, &(struct timeval){0, LOOK_EVERY_MS * 1000}) == 0;
}

static bool has_slots(const struct master *master, const struct config *fresh)
{
    const uint32_t workers = master_workers(fresh);
    const uint32_t most = fresh->share_descriptors ? master->slots : master->workers;
    if (workers <= most && (fresh->share_descriptors || workers == most))
        return true;
    log_error("reload_refused",
              "workers=%u why=\"until it is started again the server has room for %u\"", workers,
              most);
    return false;
}

/* Nothing can fail from here on. */
static void take(struct master *master, struct config *fresh, struct listeners listeners)
{
    state.under_way = true;
    state.old = master->listeners;
    master->listeners = listeners;
    config_free(master->config);
    master->config = fresh;
    config_kept_text(fresh, master->segment.header->kept, KEPT_MAX);
    master->reloads++;
    log_open(fresh->log, (enum log_level)fresh->log_level);
    log_info("reloading", "file=%s",
             log_quote(master->invocation->file, strlen(master->invocation->file)));
    supervise_command(master, SLOT_LEAVE);
}

void reload(struct master *master)
{
    struct listeners listeners;
    if (master->stopping || reload_delays(RELOAD_AGAIN))
        return;
    if (master->trial || master->upgrading) {
        state.wanted[RELOAD_AGAIN] = true; /* the new version reads the file anyway */
        return;
    }
    struct config *fresh = read_again(master);
    if (!fresh)
        return;
    config_keep(fresh, master->config, log_kept);
    if (!has_slots(master, fresh)) {
        config_free(fresh);
        return;
    }
    if (!look_from_now_on(master) || listeners_open(&listeners, fresh, &master->listeners) == -1) {
        log_error("reload_refused", "why=\"not everything could be opened: see above\"");
        config_free(fresh);
        return;
    }
    take(master, fresh, listeners);
}
