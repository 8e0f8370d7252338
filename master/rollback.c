/*
 * See rollback.h. Everything that going back needs is made ready beforehand, so that it can be done
 * in a signal handler, and by a program whose heap is in ruins. Workers of the new version are
 * killed, as any worker may be at any time: their slots are taken over from what stands in them.
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
    START_S = 60, /* seconds for a new version to take over: migration takes its time */
    STACK_SIZE = 64 * 1024,
    REASON_MAX = 256
};

/* Ours stand first in the environment. */
enum { TOLD_AT, BINARY_AT, CONFIG_AT, WHY_AT, OURS };

static struct {
    int program; /* this one, for whom it may be the version before; 0: not known */
    int before;  /* the version before, on probation; 0: there is no way back */
    int config;  /* memfd for push.conf as this one took it, or the one before; 0: none */
    bool back;   /* this is the version before, and has it there */
    pid_t pid;   /* of who goes */
    bool left;   /* or has tried to */
    char **argv;
    char **env;                  /* of the version before: what it is told, and what there is */
    const struct master *master; /* whose workers may run; NULL: nobody's */
    char why[sizeof(ROLLBACK_VARIABLE "=") + REASON_MAX]; /* with a NUL in the end, always */
} way;

extern char **environ;

/* ---- In the old version ---- */

/* A descriptor that was to go through execve goes no further. Whether it is one. */
static bool take_back(int fd)
{
    return fd > 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != -1;
}

static int open_program(void)
{
    const int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    return fd == -1 ? 0 : fd;
}

static bool write_config(const char *text)
{
    const size_t len = strlen(text);
    return ftruncate(way.config, 0) == 0 && pwrite(way.config, text, len, 0) == (ssize_t)len;
}

void rollback_offer(const char *binary, const char *config)
{
    char text[16 + PATH_MAX];
    if (way.program == 0 || way.config == 0 || !write_config(config))
        return;
    snprintf(text, sizeof(text), "%d %d %s", way.program, way.config, binary);
    setenv(BEFORE_VARIABLE, text, 1);
    fcntl(way.program, F_SETFD, 0);
    fcntl(way.config, F_SETFD, 0);
}

void rollback_withdraw(void)
{
    unsetenv(BEFORE_VARIABLE);
    take_back(way.program);
    take_back(way.config);
}

/* ---- Going back ---- */

static void end_workers(const struct master *master)
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
    alarm(0); /* else it would outlive execve */
    strncpy(way.why + sizeof(ROLLBACK_VARIABLE), why, REASON_MAX);
    if (way.master) {
        end_workers(way.master);
        handover_prepare(way.master, handover_first() > 0);
    }
    fcntl(way.config, F_SETFD, 0);
    handover_keep(way.env[TOLD_AT] + strlen(HANDOVER_VARIABLE "="));
    execveat(way.before, "", way.argv, way.env, AT_EMPTY_PATH);
}

/* Where there is no way back, the program ends by the signal: SA_RESETHAND. */
static void on_fatal(int number)
{
    char why[REASON_MAX] = "the new version was killed by SIG";
    if (number == SIGALRM)
        rollback_go("the new version did not take over in time");
    else
        rollback_go(strcat(why, sigabbrev_np(number)));
    raise(number);
}

static void at_exit(void)
{
    rollback_go("the new version exited: see the log");
}

/* ---- In the new version ---- */

static bool is_ours(const char *entry)
{
    static const char *const names[] = {HANDOVER_VARIABLE "=", BEFORE_VARIABLE "=",
                                        BINARY_VARIABLE "=", CONFIG_VARIABLE "=",
                                        ROLLBACK_VARIABLE "="};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static char **make_environment(const char *binary, int config)
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
        if (!is_ours(environ[i]))
            env[at++] = environ[i];
    return env;
}

/* What is told from here on. The handler finds the one or the other, whole. */
static bool tell(const char *value)
{
    char *entry, *const before = way.env[TOLD_AT];
    if (!value || asprintf(&entry, HANDOVER_VARIABLE "=%s", value) == -1)
        return false;
    way.env[TOLD_AT] = entry;
    free(before);
    return true;
}

/* SA_NODEFER: a signal that is blocked in its handler would be so in the version before, too. */
static void install(int number)
{
    struct sigaction before;
    const struct sigaction action = {.sa_handler = on_fatal,
                                     .sa_flags = SA_ONSTACK | SA_NODEFER | (int)SA_RESETHAND};
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

static void uninstall(int number)
{
    struct sigaction now;
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == on_fatal)
        signal(number, SIG_DFL);
}

/* Less than the supervisor has: it would kill. */
static unsigned patience_s(void)
{
    const uint64_t watchdog_s = notify_watchdog_usec() / 1000000;
    return watchdog_s > 0 && watchdog_s < START_S ? (unsigned)(watchdog_s * 3 / 4 + 1) : START_S;
}

static void install_all(void)
{
    static uint8_t stack[STACK_SIZE];
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
    sigaltstack(&own, NULL);
#define INSTALL(number) install(number);
    FATAL_SIGNALS(INSTALL)
#undef INSTALL
    install(SIGALRM);
    alarm(patience_s());
    atexit(at_exit);
}

static void forget(void)
{
    if (way.env) {
        free(way.env[TOLD_AT]);
        free(way.env[BINARY_AT]);
        free(way.env[CONFIG_AT]);
        free(way.env);
    }
    way.env = NULL;
}

/* Whether there is a way back: "9 10 /usr/sbin/wspushd". */
static bool find_way(const char *offer, const char *told, char **argv)
{
    char *path;
    const int before = (int)strtol(offer, &path, 10);
    const int config = (int)strtol(path, &path, 10);
    way.argv = argv;
    way.pid = getpid();
    way.env = make_environment(*path == ' ' ? path + 1 : path, config);
    if (!take_back(before) || !take_back(config) || !way.env || !tell(told))
        return false;
    way.before = before;
    way.config = config;
    return true;
}

static int find_config(void)
{
    const char *told = getenv(CONFIG_VARIABLE);
    int fd = told ? (int)strtol(told, NULL, 10) : 0;
    way.back = take_back(fd);
    if (!way.back)
        fd = memfd_create("push.conf", MFD_CLOEXEC);
    unsetenv(CONFIG_VARIABLE);
    return fd == -1 ? 0 : fd;
}

void rollback_begin(char **argv)
{
    const char *offer = getenv(BEFORE_VARIABLE), *told = getenv(HANDOVER_VARIABLE);
    if (offer && told && find_way(offer, told, argv)) {
        install_all();
    } else {
        forget();
        way.program = open_program();
        way.config = find_config();
    }
    unsetenv(BEFORE_VARIABLE);
}

void rollback_arm(const struct master *master)
{
    if (!rollback_possible())
        return;
    alarm(0);
    char *text = handover_text(master, handover_first());
    tell(text);
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
#define UNINSTALL(number) uninstall(number);
    FATAL_SIGNALS(UNINSTALL)
#undef UNINSTALL
    uninstall(SIGALRM);
}

/* A hole among the server's own descriptors would be a client's next, and not looked after there
 * (worker/audit.c). */
static void take_place_of(int before)
{
    const int fd = open_program();
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
        forget();
        take_place_of(before);
    }
    handover_end();
}

/* ---- In the old version, come back ---- */

char *rollback_binary(void)
{
    const char *told = getenv(BINARY_VARIABLE);
    char *path = told ? strdup(told) : realpath("/proc/self/exe", NULL);
    if (told) /* else it is the descriptor's number, in older kernels */
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
