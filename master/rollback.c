/*
 * See rollback.h. Everything that a rollback needs is prepared in advance, so that a signal handler
 * can roll back even if the heap is corrupt. The workers of the new version are killed, which is
 * safe at any time: the previous version's workers take over their slots as after a crash.
 */
#include "master/rollback.h"

#include "master/handover.h"
#include "master/notify.h"
#include "master/supervise.h"
#include "shm/words.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BEFORE_VARIABLE   "WSPUSHD_BEFORE"
#define BINARY_VARIABLE   "WSPUSHD_BINARY"
#define CONFIG_VARIABLE   "WSPUSHD_CONFIG"
#define ROLLBACK_VARIABLE "WSPUSHD_ROLLBACK"

enum {
    START_S = 60, /* seconds for a new version to take over, including a migration */
    STACK_SIZE = 64 * 1024,
    REASON_MAX = 256
};

/* Indices of the server's own variables at the beginning of the environment. */
enum { TOLD_AT, BINARY_AT, CONFIG_AT, WHY_AT, OURS };

static struct {
    int program; /* descriptor of this executable, to be offered; 0: unknown */
    int before;  /* descriptor of the previous executable; 0: no rollback possible */
    int config;  /* memfd with push.conf of this or the previous version; 0: none */
    bool back;   /* this is the previous version after a rollback; `config` has its push.conf */
    pid_t pid;   /* the process that may roll back */
    bool left;   /* a rollback has been tried */
    char **argv;
    char **env;                                           /* environment for the previous version */
    const struct master *master;                          /* NULL: no workers run yet */
    char why[sizeof(ROLLBACK_VARIABLE "=") + REASON_MAX]; /* always NUL-terminated */
} way;

extern char **environ;

/* ---- In the old version ---- */

/* Sets close-on-exec on a descriptor again. False if the descriptor is not open. */
static bool set_close_on_exec(int fd)
{
    return fd > 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != -1;
}

static int open_own_executable(void)
{
    const int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    return fd == -1 ? 0 : fd;
}

static bool write_config_copy(const char *text)
{
    const size_t len = strlen(text);
    return ftruncate(way.config, 0) == 0 && pwrite(way.config, text, len, 0) == (ssize_t)len;
}

void rollback_offer(const char *binary, const char *config)
{
    char text[16 + PATH_MAX];
    if (way.program == 0 || way.config == 0 || !write_config_copy(config))
        return;
    snprintf(text, sizeof(text), "%d %d %s", way.program, way.config, binary);
    setenv(BEFORE_VARIABLE, text, 1);
    fcntl(way.program, F_SETFD, 0);
    fcntl(way.config, F_SETFD, 0);
}

void rollback_withdraw(void)
{
    unsetenv(BEFORE_VARIABLE);
    set_close_on_exec(way.program);
    set_close_on_exec(way.config);
}

/* ---- The rollback ---- */

static void kill_and_reap_workers(const struct master *master)
{
    supervise_kill(master);
    for (uint32_t i = 0; i < master->slots; i++)
        if (master->charge[i].pid > 0)
            waitpid(master->charge[i].pid, NULL, 0);
}

void rollback_go(const char *why)
{
    if (!rollback_possible() || way.pid != getpid() || way.left)
        return;
    way.left = true;
    alarm(0); /* a pending alarm would survive execve */
    strncpy(way.why + sizeof(ROLLBACK_VARIABLE), why, REASON_MAX);
    if (way.master) {
        kill_and_reap_workers(way.master);
        handover_prepare(way.master, handover_first() > 0);
    }
    fcntl(way.config, F_SETFD, 0);
    handover_keep(way.env[TOLD_AT] + strlen(HANDOVER_VARIABLE "="));
    execveat(way.before, "", way.argv, way.env, AT_EMPTY_PATH);
}

/* Rolls back on a fatal signal or a timeout. If that fails, the signal kills the process, because
 * of SA_RESETHAND. */
static void on_fatal_signal(int number)
{
    char why[REASON_MAX] = "the new version was killed by SIG";
    if (number == SIGALRM)
        rollback_go("the new version did not take over in time");
    else
        rollback_go(strcat(why, sigabbrev_np(number)));
    raise(number);
}

static void rollback_at_exit(void)
{
    rollback_go("the new version exited: see the log");
}

/* ---- In the new version ---- */

static bool is_own_variable(const char *entry)
{
    static const char *const names[] = {HANDOVER_VARIABLE "=", BEFORE_VARIABLE "=",
                                        BINARY_VARIABLE "=", CONFIG_VARIABLE "=",
                                        ROLLBACK_VARIABLE "="};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static char **create_environment(const char *binary, int config)
{
    size_t count = 0, at = OURS;
    while (environ[count])
        count++;
    char **env = calloc(count + OURS + 1, sizeof(*env));
    if (!env || asprintf(&env[BINARY_AT], BINARY_VARIABLE "=%s", binary) == -1 ||
        asprintf(&env[CONFIG_AT], CONFIG_VARIABLE "=%d", config) == -1) {
        free(env);
        return NULL;
    }
    env[WHY_AT] = strcpy(way.why, ROLLBACK_VARIABLE "=");
    for (size_t i = 0; i < count; i++)
        if (!is_own_variable(environ[i]))
            env[at++] = environ[i];
    return env;
}

/* Replaces the value of WSPUSHD_UPGRADE. A signal handler sees either the old or the new value. */
static bool set_handover_value(const char *value)
{
    char *entry, *const before = way.env[TOLD_AT];
    if (!value || asprintf(&entry, HANDOVER_VARIABLE "=%s", value) == -1)
        return false;
    way.env[TOLD_AT] = entry;
    free(before);
    return true;
}

/* Installs the handler. SA_NODEFER, because execve would keep the signal blocked in the previous
 * version. */
static void install_handler(int number)
{
    struct sigaction before;
    const struct sigaction action = {.sa_handler = on_fatal_signal,
                                     .sa_flags = SA_ONSTACK | SA_NODEFER | (int)SA_RESETHAND};
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

static void uninstall_handler(int number)
{
    struct sigaction now;
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == on_fatal_signal)
        signal(number, SIG_DFL);
}

/* Returns the time to take over in seconds: less than the watchdog, so that systemd does not kill
 * the server first. */
static unsigned takeover_time_s(void)
{
    const uint64_t watchdog_s = notify_watchdog_usec() / 1000000;
    return watchdog_s > 0 && watchdog_s < START_S ? (unsigned)(watchdog_s * 3 / 4 + 1) : START_S;
}

static void install_all_handlers(void)
{
    static uint8_t stack[STACK_SIZE];
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
    sigaltstack(&own, NULL);
#define INSTALL(number) install_handler(number);
    FATAL_SIGNALS(INSTALL)
#undef INSTALL
    install_handler(SIGALRM);
    alarm(takeover_time_s());
    atexit(rollback_at_exit);
}

static void free_environment(void)
{
    if (way.env) {
        free(way.env[TOLD_AT]);
        free(way.env[BINARY_AT]);
        free(way.env[CONFIG_AT]);
        free(way.env);
    }
    way.env = NULL;
}

/* Parses an offer, "9 10 /usr/sbin/wspushd", and prepares the rollback. True if it is possible. */
static bool prepare_way_back(const char *offer, const char *told, char **argv)
{
    char *path;
    const int before = (int)strtol(offer, &path, 10);
    const int config = (int)strtol(path, &path, 10);
    way.argv = argv;
    way.pid = getpid();
    way.env = create_environment(*path == ' ' ? path + 1 : path, config);
    if (!set_close_on_exec(before) || !set_close_on_exec(config) || !way.env ||
        !set_handover_value(told))
        return false;
    way.before = before;
    way.config = config;
    return true;
}

static int find_config_copy(void)
{
    const char *told = getenv(CONFIG_VARIABLE);
    int fd = told ? (int)strtol(told, NULL, 10) : 0;
    way.back = set_close_on_exec(fd);
    if (!way.back)
        fd = memfd_create("push.conf", MFD_CLOEXEC);
    unsetenv(CONFIG_VARIABLE);
    return fd == -1 ? 0 : fd;
}

void rollback_begin(char **argv)
{
    const char *offer = getenv(BEFORE_VARIABLE), *told = getenv(HANDOVER_VARIABLE);
    if (offer && told && prepare_way_back(offer, told, argv)) {
        install_all_handlers();
    } else {
        free_environment();
        way.program = open_own_executable();
        way.config = find_config_copy();
    }
    unsetenv(BEFORE_VARIABLE);
}

void rollback_arm(const struct master *master)
{
    if (!rollback_possible())
        return;
    alarm(0);
    char *text = handover_text(master, handover_first());
    set_handover_value(text);
    free(text);
    way.master = master;
}

bool rollback_possible(void)
{
    return way.before > 0;
}

void rollback_disown(void)
{
    way.before = 0;
    alarm(0);
#define UNINSTALL(number) uninstall_handler(number);
    FATAL_SIGNALS(UNINSTALL)
#undef UNINSTALL
    uninstall_handler(SIGALRM);
}

/* Closes the previous executable and puts this one's under the same number. A gap among the
 * server's own descriptors would be filled by a client, and worker/audit.c would not check it
 * there. */
static void replace_previous_executable(int before)
{
    const int fd = open_own_executable();
    if (fd > 0 && dup3(fd, before, O_CLOEXEC) != -1)
        way.program = before;
    else
        close(before);
    if (fd > 0)
        close(fd);
}

void rollback_end(void)
{
    const int before = way.before;
    if (before > 0) {
        rollback_disown();
        free_environment();
        replace_previous_executable(before);
    }
    handover_end();
}

/* ---- In the old version, after a rollback ---- */

char *rollback_binary(void)
{
    const char *told = getenv(BINARY_VARIABLE);
    char *path = told ? strdup(told) : realpath("/proc/self/exe", NULL);
    if (told) /* older kernels use the descriptor's number */
        prctl(PR_SET_NAME, basename(told));
    unsetenv(BINARY_VARIABLE);
    return path;
}

const char *rollback_config(void)
{
    static char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", way.config);
    return way.back ? path : NULL;
}

const char *rollback_reason(void)
{
    static char *reason;
    const char *told = getenv(ROLLBACK_VARIABLE);
    if (told) {
        reason = strdup(told);
        unsetenv(ROLLBACK_VARIABLE);
    }
    return reason;
}
