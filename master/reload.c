/*
 * See reload.h. All steps that can fail happen before anything changes. Old listeners stay open
 * while any worker accepts on them: after a close, another process could get the same descriptor
 * number for another socket.
 */
#include "master/reload.h"

#include "common/log.h"
#include "master/change.h"
#include "master/move.h"
#include "master/stop.h"
#include "master/supervise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_EVERY_MS = 1 /* how often to check whether the reload is done */ };

static struct {
    struct event *look;
    struct listeners old; /* in use until the last old worker has left */
    bool moving;
    bool kept;       /* a key has kept its value, which differs from the file's */
    bool stop_waits; /* a stop waits for the end of a move that cannot be cancelled */
    enum ending ending;
} state = {.old.admin = -1};

/* Logs the errors that config_load has printed, and adds them to the report. */
static void log_config_errors(char *text)
{
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        if (!line[0])
            continue;
        log_error("reload_refused", "mistake=%s", log_quote(line, strlen(line)));
        change_note(line);
    }
}

static void log_kept_key(const char *key)
{
    char line[128];
    log_warn("reload_kept",
             "key=%s why=\"the new value needs a restart; until then upgrades are refused\"", key);
    snprintf(line, sizeof(line), "%s: keeps its value until a restart", key);
    change_note(line);
    state.kept = true;
}

static struct config *read_config_again(const struct master *master)
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
        log_config_errors(mistakes);
    free(mistakes);
    return fresh;
}

/* ---- The end ---- */

bool reload_delays_stop(struct master *master, enum ending ending)
{
    if (!state.moving || state.stop_waits || move_cancel(master, "the server is stopping"))
        return false;
    log_info("stop_waits", "why=\"the number of workers is being changed\"");
    state.stop_waits = true;
    state.ending = ending;
    return true;
}

void reload_close(struct master *master)
{
    listeners_close(&state.old, &master->listeners);
}

static void end_reload(struct master *master, enum change_outcome outcome)
{
    event_del(state.look);
    state.moving = false;
    if (state.stop_waits)
        stop_begin(master, state.ending);
    change_end(master, outcome);
}

/* Ends the reload or begins a move: the last old worker has left. */
static void on_workers_replaced(struct master *master)
{
    const uint32_t workers = master_workers(master->config);
    listeners_close(&state.old, &master->listeners);
    log_info("reloaded", "");
    state.moving = workers != master->workers;
    if (state.moving)
        move_begin(master, workers);
    else
        end_reload(master, CHANGE_DONE);
}

/* Ends the reload after the move, even if that was cancelled: the next reload tries again. */
static void on_move_ended(struct master *master)
{
    const bool done = master->workers == master_workers(master->config);
    if (!done)
        change_note("workers: the number has not changed: see the log");
    end_reload(master, done ? CHANGE_DONE : CHANGE_FAILED);
}

static void check_reload_progress(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    (void)fd, (void)what;
    if (master->stopping)
        end_reload(master,
                   CHANGE_DONE); /* change.c reports it as refused, because the server stops */
    else if (!state.moving && supervise_reloaded(master))
        on_workers_replaced(master);
    else if (state.moving && move_look(master))
        on_move_ended(master);
}

/* ---- The beginning ---- */

static void refuse_reload(struct master *master, struct config *fresh, const char *why)
{
    log_error("reload_refused", "why=%s", log_quote(why, strlen(why)));
    change_note(why);
    config_free(fresh);
    change_end(master, CHANGE_REFUSED);
}

/* True if there are enough slots for the configured number of workers; otherwise writes `why`. */
static bool has_enough_slots(const struct master *master, const struct config *fresh, char why[96])
{
    const uint32_t workers = master_workers(fresh);
    const uint32_t most = fresh->share_descriptors ? master->slots : master->workers;
    snprintf(why, 96, "workers: %u: until it is restarted, the server has room for %u", workers,
             most);
    return workers <= most && (fresh->share_descriptors || workers == most);
}

/* Puts the new configuration into effect. Nothing can fail from here on. */
static void apply_config(struct master *master, struct config *fresh, struct listeners listeners)
{
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
    event_add(state.look, &(struct timeval){0, LOOK_EVERY_MS * 1000});
}

int reload_open(struct master *master)
{
    state.look = event_new(master->base, -1, EV_PERSIST, check_reload_progress, master);
    return state.look ? 0 : -1;
}

void reload(struct master *master)
{
    struct listeners listeners;
    char why[96];
    struct config *fresh = read_config_again(master);
    if (!fresh) {
        change_end(master, CHANGE_REFUSED);
        return;
    }
    state.kept = false;
    config_keep(fresh, master->config, log_kept_key);
    if (state.kept)
        change_note(
            "until that restart, an upgrade will be refused (unless the file is changed back)");
    if (!has_enough_slots(master, fresh, why))
        refuse_reload(master, fresh, why);
    else if (listeners_open(&listeners, fresh, &master->listeners) == -1)
        refuse_reload(master, fresh, "not every listener could be opened: see the log");
    else
        apply_config(master, fresh, listeners);
}
