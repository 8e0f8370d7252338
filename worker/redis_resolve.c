/*
 * See redis_resolve.h. glibc has no getaddrinfo that does not block, and a thread would open its
 * sockets and files in the descriptor table that all workers share: those of a worker that is
 * killed would stay open. So each look-up has a process of its own:
 *
 *     worker ── clone(2) ──▶ process: leaves the shared descriptor table, getaddrinfo(3)
 *       │                       │
 *       │◀──── memory ──────────┤  a page that both have mapped
 *       └◀──── pidfd ───────────┘  readable when the process has ended
 *
 * The pidfd is the only descriptor that the worker has of it, and is noted in the slot. A look-up
 * that is cancelled, or has taken too long, is killed; the process dies with its worker, too. An
 * answer cannot be taken for another look-up's, because each has its own page.
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

/* resolver(3) asks each of three servers for 5 s, and then once more: what comes after that was not
 * to come. */
enum { LOOKUP_TIMEOUT_S = 30, FIRST_OWN_FD = 3 };

/* What the process leaves. Read when it has ended. */
struct answer {
    int error;        /* of getaddrinfo(3) */
    int system_error; /* errno, where error is EAI_SYSTEM */
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

/* Gives up the descriptor table that it shares with the workers, for a copy that has only the
 * standard streams. Returns 0, or -1 with errno. */
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

static void restore_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void copy_addresses(struct redis_addresses *to, const struct addrinfo *from)
{
    for (; from && to->count < REDIS_ADDRESSES_MAX; from = from->ai_next) {
        if (from->ai_addrlen > sizeof(to->at[0].addr))
            continue;
        memcpy(&to->at[to->count].addr, from->ai_addr, from->ai_addrlen);
        to->at[to->count++].len = from->ai_addrlen;
    }
}

/* getaddrinfo(3) into an answer. `flags` as in its hints. */
static void look_up(struct answer *answer, const char *host, const char *port, int flags)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    answer->found.count = 0;
    answer->error = getaddrinfo(host, port, &hints, &found);
    answer->system_error = errno;
    if (answer->error != 0)
        return;
    copy_addresses(&answer->found, found);
    freeaddrinfo(found);
}

static _Noreturn void run_process(const struct redis_lookup *lookup, pid_t parent)
{
    struct answer *answer = lookup->answer;
    restore_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "wspushd-resolve");
    if (getppid() != parent)
        _exit(1);
    *answer = (struct answer){.error = EAI_SYSTEM};
    if (leave_shared_descriptors() == -1)
        answer->system_error = errno;
    else
        look_up(answer, lookup->host, lookup->port, 0);
    _exit(0);
}

/* ---- The worker ---- */

static void lookup_free(struct redis_lookup *lookup)
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

static void answer_refuse(const struct redis_lookup *lookup, const char *reason)
{
    char why[NI_MAXHOST + 160];
    snprintf(why, sizeof(why), "looking up %s: %s", lookup->host, reason);
    lookup->done(lookup->arg, NULL, why);
}

static const char *answer_error(const struct answer *answer)
{
    return answer->error == EAI_SYSTEM ? strerror(answer->system_error)
                                       : gai_strerror(answer->error);
}

static void answer_take(const struct redis_lookup *lookup, int status)
{
    const struct answer *answer = lookup->answer;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        answer_refuse(lookup, "the process that looked it up has died");
    else if (answer->error != 0)
        answer_refuse(lookup, answer_error(answer));
    else if (answer->found.count == 0)
        answer_refuse(lookup, "it has no address");
    else
        lookup->done(lookup->arg, &answer->found, NULL);
}

static void process_kill(const struct redis_lookup *lookup)
{
    pidfd_send_signal(lookup->pidfd, SIGKILL, NULL, 0);
}

/* Nobody is told of it any more; the process is reaped when it has ended, which may take its time
 * where the kernel waits for a disk. */
static void lookup_abandon(struct redis_lookup *lookup)
{
    lookup->done = NULL;
    process_kill(lookup);
    event_del(lookup->ended);
    event_add(lookup->ended, NULL);
}

static void lookup_expire(struct redis_lookup *lookup)
{
    redis_resolved *const done = lookup->done;
    char why[NI_MAXHOST + 64];
    snprintf(why, sizeof(why), "looking up %s: no answer within %d s", lookup->host,
             LOOKUP_TIMEOUT_S);
    lookup_abandon(lookup);
    done(lookup->arg, NULL, why);
}

/* Where both have come (this process did not run for a while), the answer counts. */
static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct redis_lookup *lookup = arg;
    int status = 0;
    (void)fd;
    worker_note_time(lookup->worker);
    if (!(what & EV_READ)) {
        lookup_expire(lookup);
        return;
    }
    waitpid(lookup->pid, &status, __WALL);
    event_del(lookup->ended);
    if (lookup->done)
        answer_take(lookup, status);
    lookup_free(lookup);
}

/* The exit signal is 0: a worker expects no SIGCHLD, and its own children are waited for with
 * __WALL. Returns -1 with errno. */
static int process_start(struct redis_lookup *lookup)
{
    const pid_t parent = getpid();
    const long pid =
        syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD, NULL, &lookup->pidfd, NULL, NULL);
    if (pid == 0)
        run_process(lookup, parent);
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
static int lookup_start(struct redis_lookup *lookup)
{
    const struct timeval timeout = {LOOKUP_TIMEOUT_S, 0};
    lookup->answer = mmap(NULL, sizeof(*lookup->answer), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lookup->answer == MAP_FAILED) {
        lookup->answer = NULL;
        return -1;
    }
    if (process_start(lookup) == -1)
        return -1;
    lookup->ended = event_new(lookup->worker->base, lookup->pidfd, EV_READ, on_ended, lookup);
    return lookup->ended ? event_add(lookup->ended, &timeout) : -1;
}

/* A look-up that could not be watched ends here. */
static void lookup_undo(struct redis_lookup *lookup)
{
    if (lookup->pid > 0) {
        process_kill(lookup);
        waitpid(lookup->pid, NULL, __WALL);
    }
    lookup_free(lookup);
}

static struct redis_lookup *lookup_begin(struct worker *worker, const char *host, const char *port,
                                         redis_resolved *done, void *arg)
{
    struct redis_lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup) {
        done(arg, NULL, "out of memory");
        return NULL;
    }
    *lookup = (struct redis_lookup){.worker = worker, .done = done, .arg = arg, .pidfd = -1};
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    snprintf(lookup->port, sizeof(lookup->port), "%s", port);
    if (lookup_start(lookup) == 0)
        return lookup;
    answer_refuse(lookup, strerror(errno));
    lookup_undo(lookup);
    return NULL;
}

void redis_resolve_cancel(struct redis_lookup *lookup)
{
    lookup_abandon(lookup);
}

/* ---- Answers that need no process ---- */

static void resolve_path(const char *path, redis_resolved *done, void *arg)
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
        resolve_path(address->host, done, arg);
        return NULL;
    }
    snprintf(port, sizeof(port), "%u", address->port);
    look_up(&answer, address->host, port, AI_NUMERICHOST);
    if (answer.error != 0)
        return lookup_begin(worker, address->host, port, done, arg);
    done(arg, &answer.found, NULL);
    return NULL;
}
