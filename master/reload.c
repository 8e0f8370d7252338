/*
 * See reload.h. Everything that can fail is done before anything changes. Old listeners stay open
 * while there is a worker that accepts on them: the number of a descriptor that is closed under it
 * could be another's the moment after.
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

enum { LOOK_EVERY_MS = 1 /* while a reload is under way */ };

static struct {
    struct event *look;
    struct listeners old; /* accepted from until the last old worker has left */
    bool moving;
    bool kept;       /* a key kept its value, and the file has another */
    bool stop_waits; /* for the end of a move that has no way back */
    enum ending ending;
} state = {.old.admin = -1};

/* What config_load has printed, as lines of the log. */
static void log_mistakes(char *text)
{
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        if (!line[0])
            continue;
        log_error("reload_refused", "mistake=%s", log_quote(line, strlen(line)));
        change_note(line);
    }
}

static void log_kept(const char *key)
{
    char line[128];
    log_warn("reload_kept",
             "key=%s why=\"it needs a restart, and until then an upgrade is refused\"", key);
    snprintf(line, sizeof(line), "%s: keeps its value until a restart", key);
    change_note(line);
    state.kept = true;
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

/* ---- On the way ---- */

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

static void end(struct master *master, enum change_outcome outcome)
{
    event_del(state.look);
    state.moving = false;
    if (state.stop_waits)
        stop_begin(master, state.ending);
    change_end(master, outcome);
}

/* The last old worker has left. */
static void replaced(struct master *master)
{
    const uint32_t workers = master_workers(master->config);
    listeners_close(&state.old, &master->listeners);
    log_info("reloaded", "");
    state.moving = workers != master->workers;
    if (state.moving)
        move_begin(master, workers);
    else
        end(master, CHANGE_DONE);
}

/* Not for ever: the next reload tries again. */
static void moved(struct master *master)
{
    const bool done = master->workers == master_workers(master->config);
    if (!done)
        change_note("workers: the number has not changed: see the log");
    end(master, done ? CHANGE_DONE : CHANGE_FAILED);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    (void)fd, (void)what;
    if (master->stopping)
        end(master, CHANGE_DONE); /* change.c refuses it, for the server stops */
    else if (!state.moving && supervise_reloaded(master))
        replaced(master);
    else if (state.moving && move_look(master))
        moved(master);
}

/* ---- The beginning ---- */

static void refuse(struct master *master, struct config *fresh, const char *why)
{
    log_error("reload_refused", "why=%s", log_quote(why, strlen(why)));
    change_note(why);
    config_free(fresh);
    change_end(master, CHANGE_REFUSED);
}

/* Whether there may be as many workers as that; says why not. */
static bool has_slots(const struct master *master, const struct config *fresh, char why[96])
{
    const uint32_t workers = master_workers(fresh);
    const uint32_t most = fresh->share_descriptors ? master->slots : master->workers;
    snprintf(why, 96, "workers: %u; until it is started again the server has room for %u", workers,
             most);
    return workers <= most && (fresh->share_descriptors || workers == most);
}

/* Nothing can fail from here on. */
static void take(struct master *master, struct config *fresh, struct listeners listeners)
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
    state.look = event_new(master->base, -1, EV_PERSIST, on_look, master);
    return state.look ? 0 : -1;
}

void reload(struct master *master)
{
    struct listeners listeners;
    char why[96];
    struct config *fresh = read_again(master);
    if (!fresh) {
        change_end(master, CHANGE_REFUSED);
        return;
    }
    state.kept = false;
    config_keep(fresh, master->config, log_kept);
    if (state.kept)
        change_note(
            "until that restart, an upgrade will be refused (unless the file is changed back)");
    if (!has_slots(master, fresh, why))
        refuse(master, fresh, why);
    else if (listeners_open(&listeners, fresh, &master->listeners) == -1)
        refuse(master, fresh, "not every listener could be opened: see the log");
    else
        take(master, fresh, listeners);
}
