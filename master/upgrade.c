/*
 * See upgrade.h. What the new version needs to know stands in the segment, but for the descriptors
 * that it is told by the environment: of the segment, of the listening sockets, and of the epoll
 * sets of the workers' event bases. Which is which they say themselves.
 */
#include "master/upgrade.h"

#include "common/log.h"
#include "common/open_fds.h"
#include "master/change.h"
#include "master/inherit.h"
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
    TRIAL_S = 10,            /* seconds that the new binary has for its trial */
    OUTPUT_MAX = 1 << 20,    /* bytes that it may print: beyond, SIGXFSZ */
    OUTPUT_READ = 16 * 1024, /* of them, how many are looked at */
    LINES_MAX = 100,         /* in how many lines */
    EXIT_NOTED = 1,          /* wspushd's, where it has printed what is wrong */
    EXIT_LAYOUT = 79         /* wspushd's, where that is `other_layout` */
};

/* What a trial prints that can take over by a restart only. Other programs may exit with anything,
 * so it is asked for, too. */
static const char other_layout[] = "the running server's shared memory has another layout";

static int trial_output; /* memfd(2) that a trial prints to */

static const char trial_variable[] = "WSPUSHD_TRIAL"; /* the segment's descriptor */
/* "segment kept kept ..."; in a restart "-number kept ...", with the upgrade's number. */
static const char upgrade_variable[] = "WSPUSHD_UPGRADE";

static void note(const char *why)
{
    log_error("upgrade_refused", "why=%s", log_quote(why, strlen(why)));
    change_note(why);
}

static void refuse(struct master *master, const char *why)
{
    note(why);
    change_end(master, CHANGE_REFUSED);
}

/* ---- 1: the trial ---- */

int upgrade_open(void)
{
    trial_output = memfd_create("trial", MFD_CLOEXEC);
    return trial_output == -1 ? -1 : 0;
}

/* What it prints, on whichever stream, is kept: its reasons, where it refuses. */
static void redirect_output(void)
{
    struct rlimit most;
    dup2(trial_output, STDOUT_FILENO);
    dup2(trial_output, STDERR_FILENO);
    getrlimit(RLIMIT_FSIZE, &most);
    most.rlim_cur = OUTPUT_MAX; /* counts for a memfd as well; outlives execve */
    setrlimit(RLIMIT_FSIZE, &most);
}

/* The trial's own table is a copy. A client's socket in it would stay open when a worker closes it.
 */
static void close_others(int kept)
{
    close_range(STDERR_FILENO + 1, (unsigned)kept - 1, 0);
    close_range((unsigned)kept + 1, UINT_MAX, 0);
}

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
    redirect_output();
    close_others(master->segment.fd);
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
    dprintf(STDERR_FILENO, "%s: %s\n", invocation->binary, strerror(errno));
    _exit(EXIT_NOTED);
}

void upgrade_begin(struct master *master)
{
    if (!master->config->share_descriptors) {
        refuse(master, "share_descriptors is off");
        return;
    }
    log_info("upgrade_trial", "binary=%s",
             log_quote(master->invocation->binary, strlen(master->invocation->binary)));
    if (ftruncate(trial_output, 0) == -1 || lseek(trial_output, 0, SEEK_SET) == -1) {
        refuse(master, strerror(errno));
        return;
    }
    const pid_t pid = fork(); /* with a descriptor table of its own */
    if (pid == 0)
        try_binary(master);
    if (pid == -1)
        refuse(master, strerror(errno));
    else
        master->trial = pid;
}

/* What it has printed; good until the next call. */
static char *read_output(void)
{
    static char text[OUTPUT_READ + 1];
    const ssize_t len = pread(trial_output, text, OUTPUT_READ, 0);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

/* Notes the lines that it has printed; returns whether there are any. */
static bool note_output(void)
{
    char *rest = read_output();
    const bool any = *rest;
    for (int lines = 0; rest && lines < LINES_MAX; lines++) {
        const char *line = strsep(&rest, "\n");
        if (line[0])
            note(line);
    }
    return any;
}

/* Why the trial failed: by its own words, where it has any. */
static void note_failure(int status)
{
    char line[128];
    const bool said = note_output();
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(line, sizeof(line), "its trial did not end within %d s", TRIAL_S);
    else if (WIFSIGNALED(status))
        snprintf(line, sizeof(line), "its trial was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (said && WEXITSTATUS(status) <= EXIT_NOTED)
        return;
    else
        snprintf(line, sizeof(line), "its trial ended with status %d", WEXITSTATUS(status));
    note(line);
}

static bool is_of_another_layout(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_LAYOUT &&
           strstr(read_output(), other_layout);
}

/* The change ends with this process. */
static void restart(struct master *master)
{
    log_warn("upgrade_restarts", "why=%s", log_quote(other_layout, strlen(other_layout)));
    stop_begin_upgrade(master);
}

void upgrade_tried(struct master *master, int status)
{
    const bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    master->trial = 0;
    if (!master->stopping && is_of_another_layout(status)) {
        restart(master);
        return;
    }
    if (!passed)
        note_failure(status);
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

static void differs(const char *key, bool reload)
{
    fprintf(stderr, "%s: differs from the running server, and needs a %s\n", key,
            reload ? "reload first" : "restart");
}

/* A segment that is carried over is a large file, too. */
static void allow_segment(void)
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
    if (!fd)
        return 0;
    allow_segment();
    if (migrate_open(&segment, (int)strtol(fd, NULL, 10)) == -1) {
        const bool foreign = errno == EPROTO;
        if (foreign)
            fprintf(stderr, "%s\n", other_layout);
        else
            fprintf(stderr, "the running server's shared memory: %s\n", strerror(errno));
        return foreign ? EXIT_LAYOUT : EXIT_NOTED;
    }
    return config_differs(config, segment.header->kept, differs) ? EXIT_NOTED : 0;
}

/* ---- 3: the exec ---- */

static void keep_open(int fd)
{
    if (fd > 0)
        fcntl(fd, F_SETFD, 0);
}

/*
 * Whatever is open ends with this program: what an earlier upgrade has kept, sockets to Redis, and
 * where workers were killed, what they were accepting or closing and nobody has found yet: the new
 * version would take that for its own. `clients`: but theirs, and what a successor takes up.
 */
static void close_at_exec(const struct master *master, bool clients)
{
    const uint32_t high = segment_high(&master->segment);
    const int end = open_fds_end();
    for (int fd = STDERR_FILENO + 1; fd < end; fd++)
        if (!clients || !supervise_knows(master, fd, high))
            fcntl(fd, F_SETFD, FD_CLOEXEC);
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

static void tell(FILE *told, int fd)
{
    keep_open(fd);
    if (fd > 0)
        fprintf(told, " %d", fd);
}

static void tell_listeners(FILE *told, const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        tell(told, listeners->fd[i]);
    tell(told, listeners->admin);
}

static void tell_sets(FILE *told, const struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++)
        tell(told, master->charge[i].base.set);
}

/* `first`: the variable's first number; `sets`: whether the event bases' are kept. Returns only
 * where it fails, with errno. */
static void exec_with(const struct master *master, int first, bool sets)
{
    char *text = NULL;
    size_t len;
    FILE *told = open_memstream(&text, &len);
    if (!told)
        return;
    fprintf(told, "%d", first);
    tell_listeners(told, &master->listeners);
    if (sets)
        tell_sets(told, master);
    if (fclose(told) == 0) {
        setenv(upgrade_variable, text, 1);
        execv(master->invocation->binary, master->invocation->argv);
        unsetenv(upgrade_variable);
    }
    const int error = errno;
    free(text);
    errno = error;
}

void upgrade_exec(struct master *master)
{
    close_at_exec(master, true);
    keep_open(master->segment.fd);
    keep_slots(master);
    exec_with(master, master->segment.fd, true);
    const int error = errno;
    master->upgrading = false;
    supervise_restart(master);
    refuse(master, strerror(error));
}

void upgrade_exec_anew(const struct master *master)
{
    close_at_exec(master, false);
    exec_with(master, -(int)board_begun(master->segment.board, CHANGE_UPGRADE), false);
    note(strerror(errno));
}

/* ---- 4: the new version ---- */

bool upgrade_inherits(void)
{
    return getenv(trial_variable) || getenv(upgrade_variable);
}

/* The descriptors that the old version named; -1: taken. */
static struct {
    int *fd;
    size_t count;
} kept;

static bool resumed;
static uint32_t restarted; /* the upgrade that this restart is for; 0: it is none */

bool upgrade_resumed(void)
{
    return resumed;
}

/* Of " 5 6 7". Returns 0, or -1 with errno. */
static int read_kept(char *text)
{
    kept.fd = malloc((strlen(text) + 1) * sizeof(*kept.fd)); /* more than enough */
    if (!kept.fd)
        return -1;
    while (*text == ' ')
        kept.fd[kept.count++] = (int)strtol(text, &text, 10);
    return 0;
}

int upgrade_take_up(struct master *master)
{
    char *told = getenv(upgrade_variable);
    if (!told)
        return 0;
    char *at = told;
    const int segment_fd = (int)strtol(at, &at, 10);
    if (read_kept(at) == -1)
        return -1;
    unsetenv(upgrade_variable);
    if (segment_fd < 0) {
        restarted = (uint32_t)-segment_fd;
        return 0;
    }
    const int layout = migrate_open(&master->segment, segment_fd);
    if (layout == -1)
        return -1;
    if (layout != SEGMENT_LAYOUT)
        log_info("migrated", "from=%d to=%d bytes=%zu", layout, SEGMENT_LAYOUT,
                 master->segment.size);
    master->workers = segment_plan(&master->segment).active;
    resumed = true;
    return 1;
}

void upgrade_carry_on(const struct master *master)
{
    if (restarted == 0)
        return;
    resumed = true;
    board_resume(master->segment.board, CHANGE_UPGRADE, restarted);
    change_note("the layout of shared memory has changed: clients were told of a restart");
}

static int take(size_t i)
{
    const int fd = kept.fd[i];
    kept.fd[i] = -1;
    return fd;
}

int upgrade_listener(const struct listen_address *address)
{
    for (size_t i = 0; i < kept.count; i++)
        if (kept.fd[i] != -1 && inherit_is_bound(kept.fd[i], address))
            return take(i);
    return -1;
}

int upgrade_set(const struct slot *slot)
{
    for (size_t i = 0; i < kept.count; i++)
        if (kept.fd[i] != -1 && base_is_around(kept.fd[i], slot))
            return take(i);
    return -1;
}

void upgrade_close_others(void)
{
    for (size_t i = 0; i < kept.count; i++)
        if (kept.fd[i] != -1)
            close(kept.fd[i]);
    free(kept.fd);
    kept.fd = NULL;
    kept.count = 0;
}
