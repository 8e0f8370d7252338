/*
 * See upgrade.h. The trial is a child with its own descriptor table, whose output goes to a file.
 * Exit status 0 alone proves nothing, because any program may exit with 0: a binary that can take
 * over must also print so.
 */
#include "master/upgrade.h"

#include "common/log.h"
#include "common/version.h"
#include "master/change.h"
#include "master/handover.h"
#include "master/notify.h"
#include "master/rollback.h"
#include "master/stop.h"
#include "master/supervise.h"
#include "shm/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TRIAL_S = 10,            /* time limit of the trial in seconds */
    OUTPUT_MAX = 1 << 20,    /* limit of its output in bytes: beyond it gets SIGXFSZ */
    OUTPUT_READ = 16 * 1024, /* bytes of its output that are read */
    LINES_MAX = 100,         /* lines of its output that are reported */
    EXIT_NOTED = 1,          /* exit status of wspushd after printing errors */
    EXIT_LAYOUT = 79         /* exit status of wspushd after printing `other_layout` */
};

/* Printed by a trial that can take over only by a restart. Required besides the exit status,
 * because other programs may exit with any status. */
static const char other_layout[] = "the running server's shared memory has another layout";

/* Printed, before its version, by a trial that can take over. */
static const char can_take_over[] = "can take over: wspushd ";

static const char not_serving[] = "not every worker of the new version served";

static int trial_output; /* memfd(2) that a trial prints to */

static const char trial_variable[] = "WSPUSHD_TRIAL"; /* the segment's descriptor */

static void note_refusal(const char *why)
{
    log_error("upgrade_refused", "why=%s", log_quote(why, strlen(why)));
    change_note(why);
}

static void refuse_upgrade(struct master *master, const char *why)
{
    note_refusal(why);
    change_end(master, CHANGE_REFUSED);
}

/* ---- 1: the trial ---- */

int upgrade_open(void)
{
    trial_output = memfd_create("trial", MFD_CLOEXEC);
    return trial_output == -1 ? -1 : 0;
}

/* Redirects stdout and stderr to the file for the trial's output, and limits its size. */
static void redirect_trial_output(void)
{
    struct rlimit most;
    dup2(trial_output, STDOUT_FILENO);
    dup2(trial_output, STDERR_FILENO);
    getrlimit(RLIMIT_FSIZE, &most);
    most.rlim_cur = OUTPUT_MAX; /* applies to a memfd as well; survives execve */
    setrlimit(RLIMIT_FSIZE, &most);
}

/* Closes all descriptors of the trial's copied table except `kept`: a client's socket in it would
 * stay open after a worker has closed it. */
static void close_other_descriptors(int kept)
{
    close_range(STDERR_FILENO + 1, (unsigned)kept - 1, 0);
    close_range((unsigned)kept + 1, UINT_MAX, 0);
}

static _Noreturn void run_trial_child(const struct master *master)
{
    const struct invocation *invocation = master->invocation;
    static char check[] = "-tc", override[] = "-o";
    char *argv[2 * OVERRIDES_MAX + 4];
    char fd[16];
    size_t argc = 0;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    redirect_trial_output();
    close_other_descriptors(master->segment.fd);
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
    alarm(TRIAL_S); /* survives execve */
    execv(invocation->binary, argv);
    dprintf(STDERR_FILENO, "%s: %s\n", invocation->binary, strerror(errno));
    _exit(EXIT_NOTED);
}

void upgrade_begin(struct master *master)
{
    if (!master->config->share_descriptors) {
        refuse_upgrade(master, "share_descriptors is off");
        return;
    }
    log_info("upgrade_trial", "binary=%s",
             log_quote(master->invocation->binary, strlen(master->invocation->binary)));
    if (ftruncate(trial_output, 0) == -1 || lseek(trial_output, 0, SEEK_SET) == -1) {
        refuse_upgrade(master, strerror(errno));
        return;
    }
    const pid_t pid = fork(); /* with its own descriptor table */
    if (pid == 0)
        run_trial_child(master);
    if (pid == -1)
        refuse_upgrade(master, strerror(errno));
    else
        master->trial = pid;
}

/* Returns the beginning of the trial's output, static. */
static char *read_trial_output(void)
{
    static char text[OUTPUT_READ + 1];
    const ssize_t len = pread(trial_output, text, OUTPUT_READ, 0);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

/* Reports the lines of the trial's output. True if there are any. */
static bool note_trial_output(void)
{
    char *rest = read_trial_output();
    const bool any = *rest;
    for (int lines = 0; rest && lines < LINES_MAX; lines++) {
        const char *line = strsep(&rest, "\n");
        if (line[0])
            note_refusal(line);
    }
    return any;
}

/* Reports why the trial failed, with its own output if there is any. */
static void note_trial_failure(int status)
{
    char line[128];
    const bool said = note_trial_output();
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(line, sizeof(line), "the trial of the new version did not end within %d s",
                 TRIAL_S);
    else if (WIFSIGNALED(status))
        snprintf(line, sizeof(line), "the trial of the new version was ended by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 0)
        snprintf(line, sizeof(line), "the new binary does not say that it can take over");
    else if (said && WEXITSTATUS(status) == EXIT_NOTED)
        return;
    else
        snprintf(line, sizeof(line), "the trial of the new version ended with status %d",
                 WEXITSTATUS(status));
    note_refusal(line);
}

static bool trial_needs_restart(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_LAYOUT &&
           strstr(read_trial_output(), other_layout);
}

/* Begins a restart for the upgrade. The new version reports its outcome. */
static void begin_restart_upgrade(struct master *master)
{
    log_warn("upgrade_restarts", "why=%s", log_quote(other_layout, strlen(other_layout)));
    stop_begin_upgrade(master);
}

static bool trial_has_passed(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
           strstr(read_trial_output(), can_take_over);
}

void upgrade_tried(struct master *master, int status)
{
    const bool passed = trial_has_passed(status);
    master->trial = 0;
    if (!master->stopping && trial_needs_restart(status)) {
        begin_restart_upgrade(master);
        return;
    }
    if (!passed)
        note_trial_failure(status);
    if (!passed || master->stopping) {
        change_end(master, passed ? CHANGE_DONE : CHANGE_REFUSED);
        return;
    }
    log_info("upgrading", "");
    master->upgrading = true;
    supervise_command(master, SLOT_LEAVE);
    if (supervise_gone(master))
        upgrade_exec(master);
}

void upgrade_go_back(struct master *master)
{
    log_error("upgrade_fails", "why=%s", log_quote(not_serving, strlen(not_serving)));
    rollback_go(not_serving);
    const char *why = strerror(errno); /* the new version continues */
    log_error("no_way_back", "why=%s", log_quote(why, strlen(why)));
    rollback_end();
    supervise_lost(master);
    supervise_restart(master);
    change_note(not_serving);
    change_end(master, CHANGE_FAILED);
}

static void print_differing_key(const char *key, bool reload)
{
    fprintf(stderr, "%s: differs from the running server, and needs a %s\n", key,
            reload ? "reload first" : "restart");
}

/* Lifts the limit on file sizes again, because a migrated segment is a large memfd. */
static void allow_large_files(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

int upgrade_check(const struct config *config)
{
    const char *fd = getenv(trial_variable);
    struct segment segment;
    uint64_t layout;
    if (!fd)
        return 0;
    allow_large_files();
    if (migrate_open(&segment, (int)strtol(fd, NULL, 10), &layout) == -1) {
        const bool foreign = errno == EPROTO;
        if (foreign)
            fprintf(stderr, "%s\n", other_layout);
        else
            fprintf(stderr, "the running server's shared memory: %s\n", strerror(errno));
        return foreign ? EXIT_LAYOUT : EXIT_NOTED;
    }
    if (config_differs(config, segment.header->kept, print_differing_key))
        return EXIT_NOTED;
    if (log_open(config->log, (enum log_level)config->log_level) == -1) {
        fprintf(stderr, "%s: %s\n", config->log, strerror(errno));
        return EXIT_NOTED;
    }
    printf("%s%s\n", can_take_over, version_build());
    return 0;
}

/* ---- 3: the exec ---- */

/* Executes the new binary. Returns only if that fails, with errno. */
static void exec_new_version(const struct master *master, int first)
{
    char *text = handover_text(master, first);
    if (!text)
        return;
    handover_keep(text);
    setenv(HANDOVER_VARIABLE, text, 1);
    notify_alive();
    rollback_offer(master->invocation->binary, master->config->text);
    execv(master->invocation->binary, master->invocation->argv);
    const int error = errno;
    rollback_withdraw();
    unsetenv(HANDOVER_VARIABLE);
    free(text);
    errno = error;
}

void upgrade_exec(struct master *master)
{
    handover_prepare(master, true);
    exec_new_version(master, master->segment.fd);
    const int error = errno;
    master->upgrading = false;
    supervise_restart(master);
    refuse_upgrade(master, strerror(error));
}

void upgrade_exec_anew(const struct master *master)
{
    handover_prepare(master, false);
    exec_new_version(master, -(int)board_begun(master->segment.board, CHANGE_UPGRADE));
    note_refusal(strerror(errno));
}

/* ---- 4: the new version ---- */

bool upgrade_inherits(void)
{
    return getenv(trial_variable) || handover_is_due();
}
