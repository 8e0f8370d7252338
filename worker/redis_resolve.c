/*
 * See redis_resolve.h. glibc has no getaddrinfo(3) that does not block, and a thread would open its
 * sockets and files in the descriptor table that all workers share: if its worker were killed, they
 * would stay open. So each look-up runs in a separate process:
 *
 *     worker ── clone(2) ──▶ process: leaves the shared descriptor table, getaddrinfo(3)
 *       │                       │
 *       │◀──── memory ──────────┤  a page that both have mapped
 *       └◀──── pidfd ───────────┘  readable when the process has ended
 *
 * The pidfd is the worker's only descriptor of the process, and is noted in the slot. A look-up
 * that is cancelled or takes too long is killed; the process also dies with its worker. The answer
 * of one look-up cannot be taken for that of another, because each has its own page.
 */
#include "worker/redis_resolve.h"

#include "common/killpoint.h"
#include "common/open_fds.h"
#include "worker/descriptors.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* resolver(3) asks each of three servers for 5 s, twice; no answer comes after that. */
enum { LOOKUP_TIMEOUT_S = 30, FIRST_OWN_FD = 3 };

/* The result of the process. Read when the process has ended. */
struct answer {
    int error;        /* of getaddrinfo(3) */
    int system_error; /* errno, if error is EAI_SYSTEM */
    struct redis_addresses found;
};

struct redis_lookup {
    struct worker *worker;
    redis_resolved *done; /* NULL: cancelled, and only to be reaped */
    void *arg;
    struct answer *answer; /* shared with the process */
    struct event *ended;
    pid_t pid;
    int pidfd;
    char host[NI_MAXHOST], port[8];
};

/* ---- The process ---- */

/* Replaces the descriptor table shared with the workers by a copy with only the standard streams.
 * Returns 0, or -1 with errno. */
static int leave_shared_descriptors(void)
{
    if (close_range(FIRST_OWN_FD, ~0U, CLOSE_RANGE_UNSHARE) == 0)
        return 0;
    if (unshare(CLONE_FILES) == -1) /* before Linux 5.9 */
        return -1;
    const int end = open_fds_end();
    for (int fd = FIRST_OWN_FD; fd < end; fd++)
        close(fd);
    return 0;
}

static void restore_default_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void copy_found_addresses(struct redis_addresses *to, const struct addrinfo *from)
{
    for (; from && to->count < REDIS_ADDRESSES_MAX; from = from->ai_next) {
        if (from->ai_addrlen > sizeof(to->at[0].addr))
            continue;
        memcpy(&to->at[to->count].addr, from->ai_addr, from->ai_addrlen);
        to->at[to->count++].len = from->ai_addrlen;
    }
}

/* Calls getaddrinfo(3), with `flags` in its hints, and stores the result. */
static void look_up_addresses(struct answer *answer, const char *host, const char *port, int flags)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    answer->found.count = 0;
    answer->error = getaddrinfo(host, port, &hints, &found);
    answer->system_error = errno;
    if (answer->error != 0)
        return;
    copy_found_addresses(&answer->found, found);
    freeaddrinfo(found);
}

static _Noreturn void run_lookup_process(const struct redis_lookup *lookup, pid_t parent)
{
    struct answer *answer = lookup->answer;
    restore_default_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "wspushd-resolve");
    if (getppid() != parent)
        _exit(1);
    *answer = (struct answer){.error = EAI_SYSTEM};
    if (leave_shared_descriptors() == -1)
        answer->system_error = errno;
    else
        look_up_addresses(answer, lookup->host, lookup->port, 0);
    _exit(0);
}

/* ---- The worker ---- */

static void redis_lookup_free(struct redis_lookup *lookup)
{
    if (lookup->ended)
        event_free(lookup->ended);
    if (lookup->pidfd >= 0) {
        descriptors_forget(lookup->worker, lookup->pidfd);
        close(lookup->pidfd);
    }
    if (lookup->answer)
        munmap(lookup->answer, sizeof(*lookup->answer));
    free(lookup);
}

static void report_lookup_failure(const struct redis_lookup *lookup, const char *reason)
{
    char why[NI_MAXHOST + 160];
    snprintf(why, sizeof(why), "looking up %s: %s", lookup->host, reason);
    lookup->done(lookup->arg, NULL, why);
}

static const char *lookup_error_text(const struct answer *answer)
{
    return answer->error == EAI_SYSTEM ? strerror(answer->system_error)
                                       : gai_strerror(answer->error);
}

static void report_lookup_answer(const struct redis_lookup *lookup, int status)
{
    const struct answer *answer = lookup->answer;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        report_lookup_failure(lookup, "the look-up process has died");
    else if (answer->error != 0)
        report_lookup_failure(lookup, lookup_error_text(answer));
    else if (answer->found.count == 0)
        report_lookup_failure(lookup, "the name has no address");
    else
        lookup->done(lookup->arg, &answer->found, NULL);
}

static void kill_lookup_process(const struct redis_lookup *lookup)
{
    pidfd_send_signal(lookup->pidfd, SIGKILL, NULL, 0);
}

/* Cancels a look-up: `done` is not called. The process is reaped when it has ended, which can take
 * long while the kernel waits for a disk. */
static void redis_lookup_abandon(struct redis_lookup *lookup)
{
    lookup->done = NULL;
    kill_lookup_process(lookup);
    event_del(lookup->ended);
    event_add(lookup->ended, NULL);
}

static void redis_lookup_expire(struct redis_lookup *lookup)
{
    redis_resolved *const done = lookup->done;
    char why[NI_MAXHOST + 64];
    snprintf(why, sizeof(why), "looking up %s: no answer within %d s", lookup->host,
             LOOKUP_TIMEOUT_S);
    redis_lookup_abandon(lookup);
    done(lookup->arg, NULL, why);
}

/* Handles the end of the process or the time-out. If both are due (this worker did not run for a
 * while), the answer counts. */
static void lookup_on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct redis_lookup *lookup = arg;
    int status = 0;
    (void)fd;
    worker_note_time(lookup->worker);
    if (!(what & EV_READ)) {
        redis_lookup_expire(lookup);
        return;
    }
    waitpid(lookup->pid, &status, __WALL);
    event_del(lookup->ended);
    if (lookup->done)
        report_lookup_answer(lookup, status);
    redis_lookup_free(lookup);
}

/* Starts the process. Its exit signal is 0, because a worker expects no SIGCHLD; such children are
 * waited for with __WALL. Returns -1 with errno. */
static int start_lookup_process(struct redis_lookup *lookup)
{
    const pid_t parent = getpid();
    const long pid =
        syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD, NULL, &lookup->pidfd, NULL, NULL);
    if (pid == 0)
        run_lookup_process(lookup, parent);
    if (pid == -1)
        return -1;
    KILLPOINT(LOOKUP_STARTED);
    lookup->pid = (pid_t)pid;
    if (descriptors_note(lookup->worker, lookup->pidfd) == -1) {
        errno = EMFILE;
        return -1;
    }
    return 0;
}

/* Returns 0, or -1 with errno. */
static int redis_lookup_start(struct redis_lookup *lookup)
{
    const struct timeval timeout = {LOOKUP_TIMEOUT_S, 0};
    lookup->answer = mmap(NULL, sizeof(*lookup->answer), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lookup->answer == MAP_FAILED) {
        lookup->answer = NULL;
        return -1;
    }
    if (start_lookup_process(lookup) == -1)
        return -1;
    lookup->ended =
        event_new(lookup->worker->base, lookup->pidfd, EV_READ, lookup_on_ended, lookup);
    return lookup->ended ? event_add(lookup->ended, &timeout) : -1;
}

/* Ends a look-up whose process could not be started or watched. */
static void redis_lookup_undo(struct redis_lookup *lookup)
{
    if (lookup->pid > 0) {
        kill_lookup_process(lookup);
        waitpid(lookup->pid, NULL, __WALL);
    }
    redis_lookup_free(lookup);
}

static struct redis_lookup *redis_lookup_begin(struct worker *worker, const char *host,
                                               const char *port, redis_resolved *done, void *arg)
{
    struct redis_lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup) {
        done(arg, NULL, "out of memory");
        return NULL;
    }
    *lookup = (struct redis_lookup){.worker = worker, .done = done, .arg = arg, .pidfd = -1};
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    snprintf(lookup->port, sizeof(lookup->port), "%s", port);
    if (redis_lookup_start(lookup) == 0)
        return lookup;
    report_lookup_failure(lookup, strerror(errno));
    redis_lookup_undo(lookup);
    return NULL;
}

void redis_resolve_cancel(struct redis_lookup *lookup)
{
    redis_lookup_abandon(lookup);
}

/* ---- Answers that need no process ---- */

static void resolve_unix_path(const char *path, redis_resolved *done, void *arg)
{
    struct redis_addresses found = {.count = 1};
    struct sockaddr_un *const addr = (struct sockaddr_un *)&found.at[0].addr;
    if (strlen(path) >= sizeof(addr->sun_path)) {
        done(arg, NULL, "the path of the unix socket is too long");
        return;
    }
    addr->sun_family = AF_UNIX;
    memcpy(addr->sun_path, path, strlen(path));
    found.at[0].len = sizeof(*addr);
    done(arg, &found, NULL);
}

struct redis_lookup *redis_resolve(struct worker *worker, const struct redis_address *address,
                                   redis_resolved *done, void *arg)
{
    char port[8];
    struct answer answer = {0};
    if (address->is_unix) {
        resolve_unix_path(address->host, done, arg);
        return NULL;
    }
    snprintf(port, sizeof(port), "%u", address->port);
    look_up_addresses(&answer, address->host, port, AI_NUMERICHOST);
    if (answer.error != 0)
        return redis_lookup_begin(worker, address->host, port, done, arg);
    done(arg, &answer.found, NULL);
    return NULL;
}
