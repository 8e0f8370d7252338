/*
 * See upgrade.h. What the new version needs to know stands in the segment, but for two things that
 * it is told by the environment: the segment's descriptor and those of the listening sockets.
 */
#include "master/upgrade.h"

#include "common/log.h"
#include "master/inherit.h"
#include "master/reload.h"
#include "master/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIAL_S = 10 /* seconds that the new binary has for its trial */ };

static const char trial_variable[] = "WSPUSHD_TRIAL";     /* the segment's descriptor */
static const char upgrade_variable[] = "WSPUSHD_UPGRADE"; /* "segment listener listener ..." */

static void refuse(const char *why)
{
    log_error("upgrade_refused", "why=%s", log_quote(why, strlen(why)));
}

/* ---- 1: the trial ---- */

static _Noreturn void try_binary(const struct master *master)
{
    const struct invocation *invocation = master->invocation;
    static char check[] = "-tc", override[] = "-o";
    char *argv[2 * OVERRIDES_MAX + 4];
    char fd[16];
    size_t argc = 0;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(fd, sizeof(fd), "%d", master->segment.fd);
    setenv(trial_variable, fd, 1);
    fcntl(master->segment.fd, F_SETFD, 0);
    argv[argc++] = invocation->argv[0];
    argv[argc++] = check;
    argv[argc++] = strdup(invocation->file);
    for (size_t i = 0; i < invocation->overrides; i++) {
        argv[argc++] = override;
        argv[argc++] = strdup(invocation->override[i].text);
    }
    argv[argc] = NULL;
    alarm(TRIAL_S); /* outlives execve */
    execv(invocation->binary, argv);
    refuse(strerror(errno));
    _exit(127);
}

void upgrade_begin(struct master *master)
{
    if (master->stopping || master->upgrading || master->trial || reload_delays(RELOAD_UPGRADE))
        return;
    if (!master->config->share_descriptors) {
        refuse("share_descriptors is off");
        return;
    }
    log_info("upgrade_trial", "binary=%s",
             log_quote(master->invocation->binary, strlen(master->invocation->binary)));
    const pid_t pid = fork(); /* with a descriptor table of its own */
    if (pid == 0)
        try_binary(master);
    if (pid == -1)
        refuse(strerror(errno));
    else
        master->trial = pid;
}

void upgrade_tried(struct master *master, int status)
{
    master->trial = 0;
    if (master->stopping)
        return;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        log_error("upgrade_refused", "why=\"the trial failed: see above\" status=%d signal=%d",
                  WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                  WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        reload_go_on(master);
        return;
    }
    log_info("upgrading", "");
    master->upgrading = true;
    supervise_command(master, SLOT_LEAVE);
    if (supervise_gone(master))
        upgrade_exec(master);
}

static void differs(const char *key, bool reload)
{
    fprintf(stderr, "%s: differs from the running server, and needs a %s\n", key,
            reload ? "reload first" : "restart");
}

int upgrade_check(const struct config *config)
{
    const char *fd = getenv(trial_variable);
    struct segment segment;
    if (!fd)
        return 0;
    if (segment_open(&segment, (int)strtol(fd, NULL, 10)) == -1) {
        fprintf(stderr, "the running server's shared memory has another layout: restart instead\n");
        return -1;
    }
    return config_differs(config, segment.header->kept, differs) ? -1 : 0;
}

/* ---- 3: the exec ---- */

static void keep_open(int fd)
{
    if (fd > 0)
        fcntl(fd, F_SETFD, 0);
}

static void keep_slots(const struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++) {
        const struct slot *slot = &master->segment.slot[i];
        keep_open(slot->epoll_fd);
        keep_open(slot->event_fd);
        keep_open(atomic_load(&slot->link.fd));
        keep_open(atomic_load(&slot->parcel));
    }
}

void upgrade_exec(struct master *master)
{
    const struct invocation *invocation = master->invocation;
    char told[16 * (WORKERS_MAX + 2)];
    int len = snprintf(told, sizeof(told), "%d", master->segment.fd);
    keep_open(master->segment.fd);
    keep_slots(master);
    for (size_t i = 0; i <= master->listeners.count; i++) {
        const int fd =
            i < master->listeners.count ? master->listeners.fd[i] : master->listeners.admin;
        keep_open(fd);
        if (fd > 0 && (size_t)len < sizeof(told))
            len += snprintf(told + len, sizeof(told) - (size_t)len, " %d", fd);
    }
    setenv(upgrade_variable, told, 1);
    execv(invocation->binary, invocation->argv);
    refuse(strerror(errno));
    unsetenv(upgrade_variable);
    master->upgrading = false;
    supervise_restart(master);
    reload_go_on(master);
}

/* ---- 4: the new version ---- */

bool upgrade_inherits(void)
{
    return getenv(trial_variable) || getenv(upgrade_variable);
}

/* The listening sockets that the old version named. */
static struct {
    int fd[WORKERS_MAX];
    size_t count;
} listeners;

int upgrade_take_up(struct master *master)
{
    char *told = getenv(upgrade_variable);
    if (!told)
        return 0;
    char *at = told;
    const int segment_fd = (int)strtol(at, &at, 10);
    while (*at == ' ' && listeners.count < WORKERS_MAX)
        listeners.fd[listeners.count++] = (int)strtol(at, &at, 10);
    unsetenv(upgrade_variable);
    if (segment_open(&master->segment, segment_fd) == -1)
        return -1;
    master->workers = segment_plan(&master->segment).active;
    return 1;
}

int upgrade_listener(const struct listen_address *address)
{
    for (size_t i = 0; i < listeners.count; i++)
        if (inherit_is_bound(listeners.fd[i], address))
            return listeners.fd[i];
    return -1;
}
