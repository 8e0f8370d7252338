/*
 * See audit.h. Two rules keep the audit from closing a descriptor in use:
 *
 * - It closes only what must have been a worker's (descriptor_kind.h). What the master, libevent or
 *   any other library has opened is never closed, known or not: it is logged.
 * - A worker has a descriptor that is neither in a record nor noted only within a turn of its loop.
 *   So the audit waits until every worker that runs has ended the turn in which the descriptor was
 *   seen. A worker that is stopped or frozen holds the audit up, and nothing else.
 *
 * A look goes through the whole descriptor table, a slice of it each second, so that it never stops
 * the loop for long. A number whose record is in use needs no system call.
 */
#include "worker/audit.h"

#include "common/log.h"
#include "common/open_fds.h"
#include "worker/descriptor_kind.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SUSPECTS_MAX = 256, /* further ones are found by the next audit, which follows at once */
    UNKNOWN_MAX = 16,   /* those of them that are only logged */
    SLICE = 16384,      /* descriptors examined in one go */
    TURNS = 2           /* of each worker: the current one, and another */
};

struct suspect {
    int fd;
    uint64_t inode;
    uint64_t word; /* its record's */
};

static struct {
    enum { IDLE, LOOK, GRACE } step;
    uint32_t deaths; /* restarts of all slots when the last audit began */
    int next;        /* LOOK: the next descriptor */
    struct suspect suspect[SUSPECTS_MAX];
    size_t suspects, unknown;    /* `unknown` of them are only logged */
    uint64_t turns[WORKERS_MAX]; /* GRACE: each slot's count when the look ended */
} audit;

static uint64_t audit_inode(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/* ---- Known descriptors ---- */

static bool is_connection_fd(const struct worker *worker, int fd)
{
    return (uint32_t)fd < segment_high(worker->segment) &&
           word_state(conn_word(&worker->table[fd])) != CONN_FREE;
}

static bool is_noted_fd(const struct worker *worker, int fd, uint64_t inode)
{
    for (uint32_t i = 0; i < worker_slots(worker); i++) {
        const struct slot *slot = &worker->segment->slot[i];
        if (slot_holds(slot, fd) || slot_aux_has(slot, fd, inode))
            return true;
    }
    return false;
}

/* Returns the word of the record with this descriptor's number. */
static uint64_t record_word_of_fd(const struct worker *worker, int fd)
{
    return (uint32_t)fd < worker->capacity ? conn_word(&worker->table[fd]) : 0;
}

static enum descriptor_kind suspect_kind(const struct worker *worker, int fd)
{
    const struct worker_setup *setup = worker->setup;
    int links[WORKERS_MAX];
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        links[i] = atomic_load_explicit(&worker->segment->slot[i].link.fd, memory_order_relaxed);
    const struct descriptor_peers peers = {setup->listen_fds, setup->listen_count, setup->admin_fd,
                                           links, worker_slots(worker)};
    return descriptor_kind(fd, &peers);
}

static bool is_worker_kind(enum descriptor_kind kind)
{
    return kind != DESCRIPTOR_OTHER && kind != DESCRIPTOR_LISTENER;
}

/* ---- Looking ---- */

/* True if the audit handles descriptors of this kind. Those that the master had open at its start
 * are not worth a line in the log. */
static bool is_suspect_kind(const struct worker *worker, int fd, enum descriptor_kind kind)
{
    if (is_worker_kind(kind))
        return true;
    return kind == DESCRIPTOR_OTHER && audit.unknown < UNKNOWN_MAX &&
           (uint32_t)fd >= worker->segment->header->own_fds;
}

static void look_at_fd(const struct worker *worker, int fd)
{
    const struct suspect suspect = {fd, audit_inode(fd), record_word_of_fd(worker, fd)};
    if (suspect.inode == 0 || is_noted_fd(worker, fd, suspect.inode) ||
        audit.suspects == SUSPECTS_MAX)
        return;
    const enum descriptor_kind kind = suspect_kind(worker, fd);
    if (!is_suspect_kind(worker, fd, kind))
        return;
    audit.suspect[audit.suspects++] = suspect;
    audit.unknown += kind == DESCRIPTOR_OTHER;
}

static uint64_t worker_turn_count(const struct worker *worker, uint32_t i)
{
    return atomic_load_explicit(&worker->segment->stats[i].turns, memory_order_relaxed);
}

static void end_table_look(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        audit.turns[i] = worker_turn_count(worker, i);
    audit.step = audit.suspects > 0 ? GRACE : IDLE;
    if (audit.step == IDLE)
        log_debug("audited", "suspects=0 closed=0");
}

static void look_at_table_slice(const struct worker *worker)
{
    const int end = open_fds_end();
    for (int i = 0; i < SLICE && audit.next < end; i++, audit.next++)
        if (!is_connection_fd(worker, audit.next))
            look_at_fd(worker, audit.next);
    if (audit.next >= end)
        end_table_look(worker);
}

/* ---- Closing ---- */

/* Returns the first worker that may still be in the turn in which the look found the suspects, or
 * the number of slots if there is none. */
static uint32_t first_worker_in_turn(const struct worker *worker)
{
    uint32_t i = 0;
    while (i < worker_slots(worker) &&
           (atomic_load_explicit(&worker->segment->slot[i].pid, memory_order_relaxed) == 0 ||
            worker_turn_count(worker, i) >= audit.turns[i] + TURNS))
        i++;
    return i;
}

static bool is_still_unknown(const struct worker *worker, const struct suspect *suspect)
{
    return !is_connection_fd(worker, suspect->fd) && audit_inode(suspect->fd) == suspect->inode &&
           record_word_of_fd(worker, suspect->fd) == suspect->word &&
           !is_noted_fd(worker, suspect->fd, suspect->inode);
}

static void log_unknown_fd(const struct suspect *suspect)
{
    char target[128];
    descriptor_target(suspect->fd, target, sizeof(target));
    log_info("descriptor_unknown", "fd=%d is=%s", suspect->fd, log_quote(target, strlen(target)));
}

/* Closes the suspect. Another worker whose epoll set still has a connection's socket may close it
 * first; then returns false. */
static bool reclaim_suspect(struct worker *worker, const struct suspect *suspect,
                            enum descriptor_kind kind)
{
    char target[128];
    if ((uint32_t)suspect->fd < worker->capacity &&
        !conn_reclaim(&worker->table[suspect->fd], suspect->word))
        return false;
    descriptor_target(suspect->fd, target, sizeof(target));
    log_info("descriptor_reclaimed", "fd=%d kind=%s is=%s", suspect->fd, descriptor_kind_name(kind),
             log_quote(target, strlen(target)));
    stats_add(&worker->stats->reclaimed, 1);
    close(suspect->fd);
    return true;
}

/* Closes the suspect, or logs it if it may not be a worker's. Returns true if it was closed. */
static bool judge_suspect(struct worker *worker, const struct suspect *suspect)
{
    const enum descriptor_kind kind = suspect_kind(worker, suspect->fd);
    if (is_worker_kind(kind))
        return reclaim_suspect(worker, suspect, kind);
    log_unknown_fd(suspect);
    return false;
}

static void begin_table_look(void)
{
    audit.step = LOOK;
    audit.next = STDERR_FILENO + 1;
    audit.suspects = audit.unknown = 0;
}

static void close_suspects(struct worker *worker)
{
    size_t closed = 0;
    for (size_t i = 0; i < audit.suspects; i++)
        if (is_still_unknown(worker, &audit.suspect[i]))
            closed += judge_suspect(worker, &audit.suspect[i]);
    log_debug("audited", "suspects=%zu closed=%zu", audit.suspects, closed);
    audit.step = IDLE;
    if (closed > 0 && audit.suspects == SUSPECTS_MAX)
        begin_table_look();
}

/* ---- Steps ---- */

static uint32_t count_all_deaths(const struct worker *worker)
{
    uint32_t deaths = 0;
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        deaths += atomic_load_explicit(&worker->segment->slot[i].restarts, memory_order_relaxed);
    return deaths;
}

/* Begins an audit if a worker has died since the last one began. */
static void begin_look_if_due(const struct worker *worker)
{
    const uint32_t deaths = count_all_deaths(worker);
    if (deaths == audit.deaths)
        return;
    audit.deaths = deaths;
    begin_table_look();
}

static void end_grace_period(struct worker *worker)
{
    const uint32_t late = first_worker_in_turn(worker);
    if (late < worker_slots(worker))
        log_debug("audit_waits", "worker=%u", late);
    else
        close_suspects(worker);
}

void audit_tick(struct worker *worker)
{
    if (worker->id != worker_node_home(worker))
        return;
    if (audit.step == IDLE)
        begin_look_if_due(worker);
    if (audit.step == LOOK)
        look_at_table_slice(worker);
    else if (audit.step == GRACE)
        end_grace_period(worker);
}
