/*
 * See reload.h.
 */
#include "master/reload.h"

#include "common/log.h"
#include "master/change.h"
#include "master/supervise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    log_warn("reload_kept", "key=%s why=\"it needs a restart\"", key);
    snprintf(line, sizeof(line), "%s: keeps its value until a restart", key);
    change_note(line);
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

void reload(struct master *master)
{
    struct config *fresh = read_again(master);
    if (!fresh) {
        change_end(master, true);
        return;
    }
    config_keep(fresh, master->config, log_kept);
    config_free(master->config);
    master->config = fresh;
    log_open(fresh->log, (enum log_level)fresh->log_level);
    log_info("reloading", "file=%s",
             log_quote(master->invocation->file, strlen(master->invocation->file)));
    supervise_command(master, SLOT_LEAVE);
    change_end(master, false);
}
