/*
 * See supervise.h. The master creates the workers' event bases (base.h) before the first fork: the
 * descriptors that libevent opens then belong to the slot, have the same numbers in every
 * successor, and never leak when a worker dies.
 */
#include "master/supervise.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/open_fds.h"
#include "common/pause.h"
#include "master/handover.h"
#include "master/inherit.h"
#include "master/move.h"
#include "master/notify.h"
#include "master/obituary.h"
#include "master/rollback.h"
#include "master/spawn.h"
#include "master/upgrade.h"
#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REAP_MS = 100,        /* delay of reaping after a death */
    EARLY_DEATHS_MAX = 3, /* young deaths in a row that make an upgrade fail */
};

static struct slot *slot_of(const struct master *master, uint32_t i)
{
    return &master->segment.slot[i];
}

static _Noreturn void run_worker(const struct master *master, uint32_t i)
{
    rollback_disown();
    char name[24];
    sigset_t none;
    static const int ignored[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    /* Only the master handles signals: Ctrl-C reaches the whole process group, and must not kill a
     * worker before it has drained. */
    for (size_t k = 0; k < sizeof(ignored) / sizeof(ignored[0]); k++)
        signal(ignored[k], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(name, sizeof(name), "worker.%u", i);
    log_set_source(name);
    struct segment segment = master->segment;
    const struct worker_setup setup = {.config = master->config,
                                       .segment = &segment,
                                       .id = i,
                                       .base = master->charge[i].base.event_base,
                                       .listen_fds = master->listeners.fd,
                                       .listen_count = master->listeners.count,
                                       .admin_fd = master->listeners.admin,
                                       .passed_end = inherit_end(),
                                       .master_fd = master->self_fd};
    _exit(worker_run(&setup));
}

static void start_worker(struct master *master, uint32_t i)
{
    struct charge *charge = &master->charge[i];
    struct slot *slot = slot_of(master, i);
    charge->started_ms = clock_mono_ms();
    charge->reload = master->reloads;
    charge->hung = false;
    charge->turns = atomic_load(&master->segment.stats[i].turns);
    atomic_fetch_add(&slot->incarnation, 1);
    atomic_store(&slot->heartbeat, charge->started_ms); /* no worker runs that could write it */
    const pid_t pid = spawn(master->config->share_descriptors);
    if (pid == 0)
        run_worker(master, i);
    if (pid == -1) {
        log_error("fork_failed", "worker=%u why=%s", i,
                  log_quote(strerror(errno), strlen(strerror(errno))));
        event_add(charge->respawn, &(struct timeval){1, 0});
        return;
    }
    charge->pid = pid;
    atomic_store(&slot->pid, pid);
    log_info("worker_started", "worker=%u pid=%d", i, pid);
}

struct respawn {
    struct master *master;
    uint32_t i;
};

/* True if a dead worker must be replaced: during a drain, too, if its clients were not notified
 * yet. */
static bool needs_successor(const struct master *master, uint32_t i)
{
    const struct slot *slot = slot_of(master, i);
    return !master->stopping ||
           (atomic_load(&slot->command) == SLOT_DRAIN && !atomic_load(&slot->drained));
}

static void on_respawn_timer(evutil_socket_t fd, short what, void *arg)
{
    const struct respawn *respawn = arg;
    (void)fd, (void)what;
    if (respawn->master->charge[respawn->i].pid == 0 &&
        needs_successor(respawn->master, respawn->i))
        start_worker(respawn->master, respawn->i);
}

static int prepare_slot(struct master *master, uint32_t i)
{
    struct charge *charge = &master->charge[i];
    struct slot *slot = slot_of(master, i);
    struct respawn *respawn = malloc(sizeof(*respawn));
    if (slot->epoll_fd == 0) { /* otherwise an upgrade has handed them over */
        slot->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        slot->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    memset(slot->grave, 0, sizeof(slot->grave)); /* this version may have fixed the causes */
    if (!respawn || slot->epoll_fd == -1 || slot->event_fd == -1 ||
        base_open(&charge->base, slot, handover_set(slot)) == -1) {
        free(respawn);
        return -1;
    }
    *respawn = (struct respawn){master, i};
    charge->respawn = event_new(master->base, -1, 0, on_respawn_timer, respawn);
    return charge->respawn ? 0 : -1;
}

bool supervise_knows(const struct master *master, int fd, uint32_t high)
{
    if ((uint32_t)fd < high && word_state(conn_word(&master->segment.conn[fd])) != CONN_FREE)
        return true;
    for (uint32_t i = 0; i < master->slots; i++)
        if (slot_holds(slot_of(master, i), fd))
            return true;
    return false;
}

/* Records how far the server's own descriptors reach. Above that number the audit (worker/audit.c)
 * logs every descriptor that it cannot account for. */
static int note_own_descriptors(struct master *master)
{
    const uint32_t high = segment_high(&master->segment);
    int end = open_fds_end();
    if (end == -1)
        return -1;
    while (supervise_knows(master, end - 1, high) || !open_fds_has(end - 1))
        end--;
    master->segment.header->own_fds = (uint32_t)end;
    return 0;
}

/* Publishes whether the slot's workers keep dying. */
static void publish_deaths(const struct master *master, uint32_t i)
{
    atomic_store_explicit(&slot_of(master, i)->failing, deaths_failing(&master->charge[i].deaths),
                          memory_order_relaxed);
}

/* Starts a successor, at once or after its delay (deaths.h). */
static void replace_dead(struct master *master, uint32_t i, uint32_t wait_ms)
{
    const struct charge *charge = &master->charge[i];
    if (wait_ms == 0) {
        start_worker(master, i);
        return;
    }
    log_warn("worker_backoff", "worker=%u ms=%u deaths=%u", i, wait_ms,
             charge->deaths.own > charge->deaths.young ? charge->deaths.own : charge->deaths.young);
    event_add(charge->respawn, &(struct timeval){wait_ms / 1000, (wait_ms % 1000) * 1000});
}

/* Resets the slot's row of deaths, because its worker has exited as intended. */
static void forget_deaths(const struct master *master, struct charge *charge, uint32_t i)
{
    charge->deaths = (struct deaths){0};
    publish_deaths(master, i);
}

static void on_worker_death(struct master *master, uint32_t i, int status)
{
    struct slot *slot = slot_of(master, i);
    const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    const bool left = clean && atomic_load(&slot->command) == SLOT_LEAVE;
    const uint64_t lived_ms = clock_mono_ms() - master->charge[i].started_ms;
    bool own = false;
    if (!left && !(clean && (master->stopping || move_lets_go(master, i))))
        own = obituary(master, i, status, lived_ms);
    master->charge[i].pid = 0;
    atomic_store(&slot->pid, 0);
    if (master->upgrading) {
        if (supervise_gone(master))
            upgrade_exec(master);
    } else if (left) {
        forget_deaths(master, &master->charge[i], i);
        atomic_store(&slot->command, SLOT_RUN);
        start_worker(master, i);
    } else if (clean && move_lets_go(master, i)) {
        forget_deaths(master, &master->charge[i], i);
        master->charge[i].left = true;
    } else {
        const uint32_t wait_ms = deaths_note(&master->charge[i].deaths, lived_ms, own);
        publish_deaths(master, i);
        if (!(clean && master->stopping))
            atomic_fetch_add(&slot->restarts, 1);
        /* A worker that exits cleanly during a drain without having drained was leaving for a move
         * when the stop arrived: its clients have not been notified yet. */
        if (needs_successor(master, i))
            replace_dead(master, i, clean && master->stopping ? 0 : wait_ms);
    }
}

/* Returns a dead child, one process or any (waitid(2)), without reaping it; or 0. *status is as for
 * waitpid(2). */
static pid_t find_dead_child(idtype_t which, pid_t pid, int *status)
{
    siginfo_t info = {0};
    if (waitid(which, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == -1)
        return 0;
    *status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : info.si_status;
    return info.si_pid;
}

/*
 * Dead workers are reaped a moment later, when their successors run: reaping is slow if a process
 * has listed /proc/PID/fd of a worker with many connections (common/open_fds.h).
 */
void supervise_deaths(struct master *master)
{
    int status;
    for (uint32_t i = 0; i < master->slots; i++)
        if (master->charge[i].pid && find_dead_child(P_PID, master->charge[i].pid, &status))
            on_worker_death(master, i, status);
    if (master->trial && find_dead_child(P_PID, master->trial, &status))
        upgrade_tried(master, status);
    event_add(master->reap, &(struct timeval){0, REAP_MS * 1000});
}

static void on_reap_timer(evutil_socket_t fd, short what, void *arg)
{
    int status;
    pid_t pid;
    (void)fd, (void)what;
    while ((pid = find_dead_child(P_ALL, 0, &status)) > 0) {
        supervise_deaths(arg); /* the child may have died just now */
        waitpid(pid, NULL, 0);
    }
}

int supervise_open(struct master *master)
{
    obituary_open();
    master->reap = event_new(master->base, -1, 0, on_reap_timer, master);
    if (!master->reap)
        return -1;
    for (uint32_t i = 0; i < master->slots; i++)
        if (prepare_slot(master, i) == -1)
            return -1;
    return 0;
}

int supervise_start(struct master *master)
{
    if (note_own_descriptors(master) == -1)
        return -1;
    supervise_restart(master);
    supervise_deaths(master); /* children of the previous version may be dead */
    return 0;
}

void supervise_run(struct master *master, uint32_t i)
{
    if (master->charge[i].pid != 0)
        return;
    master->charge[i].left = false;
    event_del(master->charge[i].respawn);
    atomic_store(&slot_of(master, i)->command, SLOT_RUN);
    start_worker(master, i);
}

void supervise_restart(struct master *master)
{
    for (uint32_t i = 0; i < master->workers; i++) {
        atomic_store(&slot_of(master, i)->command, SLOT_RUN);
        supervise_run(master, i);
    }
}

void supervise_wake(const struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++)
        if (master->charge[i].pid != 0)
            latch_wake(slot_of(master, i));
}

/* Ends a hanging worker. SIGABRT first, whose handler records where it hangs; and SIGCONT, because
 * it may be stopped. If it still runs at the next check, SIGKILL. */
static void end_hung_worker(struct charge *charge, uint32_t i, uint64_t silent_ms)
{
    if (charge->hung) {
        kill(charge->pid, SIGKILL);
        return;
    }
    log_warn("worker_hangs", "worker=%u pid=%d silent_ms=%llu", i, charge->pid,
             (unsigned long long)silent_ms);
    charge->hung = true;
    kill(charge->pid, SIGABRT);
    kill(charge->pid, SIGCONT);
}

/* If the master was paused, the workers probably were, too: restarts their timeouts, and notifies
 * systemd's watchdog, which counts the time as well. */
static void note_master_pause(struct master *master, uint64_t now)
{
    const uint64_t paused_ms = pause_since(&master->looked_ms, now);
    if (paused_ms == 0)
        return;
    master->awake_ms = now;
    notify_alive();
    log_warn("paused", "ms=%llu", (unsigned long long)paused_ms);
}

/* Returns the milliseconds since the worker's last turn or the master's last pause. */
static uint64_t silence_of_worker(const struct master *master, uint32_t i, uint64_t now)
{
    const uint64_t heartbeat = atomic_load(&slot_of(master, i)->heartbeat);
    const uint64_t from = heartbeat > master->awake_ms ? heartbeat : master->awake_ms;
    return now > from ? now - from : 0;
}

void supervise_watch(struct master *master)
{
    const uint64_t now = clock_mono_ms();
    note_master_pause(master, now);
    for (uint32_t i = 0; i < master->slots; i++) {
        const uint64_t silent_ms = silence_of_worker(master, i, now);
        if (master->charge[i].pid != 0) {
            deaths_note_life(&master->charge[i].deaths, now - master->charge[i].started_ms);
            publish_deaths(master, i);
        }
        if (master->charge[i].pid != 0 && silent_ms > (uint64_t)master->config->watchdog * 1000)
            end_hung_worker(&master->charge[i], i, silent_ms);
    }
}

void supervise_command(struct master *master, enum slot_command command)
{
    for (uint32_t i = 0; i < master->slots; i++)
        atomic_store(&slot_of(master, i)->command, command);
    /* Wake them only now: when the first worker acts on the command, all others can see it. */
    for (uint32_t i = 0; i < master->slots; i++)
        latch_wake(slot_of(master, i));
}

bool supervise_reloaded(const struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++)
        if (master->charge[i].pid && master->charge[i].reload != master->reloads)
            return false;
    return true;
}

bool supervise_serving(const struct master *master)
{
    for (uint32_t i = 0; i < master->workers; i++)
        if (master->charge[i].pid == 0 || atomic_load(&slot_of(master, i)->command) != SLOT_RUN ||
            atomic_load(&master->segment.stats[i].turns) == master->charge[i].turns)
            return false;
    return true;
}

bool supervise_failing(const struct master *master)
{
    for (uint32_t i = 0; i < master->workers; i++)
        if (master->charge[i].deaths.young >= EARLY_DEATHS_MAX)
            return true;
    return false;
}

bool supervise_proven(const struct master *master)
{
    const uint64_t now = clock_mono_ms();
    for (uint32_t i = 0; i < master->workers; i++)
        if (master->charge[i].pid == 0 || now - master->charge[i].started_ms < DEATHS_YOUNG_MS)
            return false;
    return supervise_serving(master);
}

void supervise_lost(struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++) {
        master->charge[i].pid = 0;
        atomic_store(&slot_of(master, i)->pid, 0);
    }
}

bool supervise_drained(const struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++)
        if (master->charge[i].pid && !atomic_load(&slot_of(master, i)->drained))
            return false;
    return true;
}

bool supervise_gone(const struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++)
        if (master->charge[i].pid)
            return false;
    return true;
}

void supervise_kill(const struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++)
        if (master->charge[i].pid)
            kill(master->charge[i].pid, SIGKILL);
}
