/*
 * See descriptors.h. A descriptor that is unknown twice, AUDIT_APART_S apart, with the same inode
 * and under the same number, with its record unchanged, belongs to nobody: whoever opens one makes
 * it known within microseconds.
 *
 * A look goes through the whole descriptor table, a slice of it each second, so that it never stops
 * the loop for long. A number whose record is in use needs no system call.
 */
#include "worker/descriptors.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "common/open_fds.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    AUDIT_APART_S = 10, /* seconds between two looks at the same suspect */
    SUSPECTS_MAX = 256, /* more are found the next time */
    SLICE = 16384       /* numbers looked at in one go */
};

struct suspect {
    int fd;
    uint64_t inode;
    uint64_t word; /* of its record */
};

struct suspects {
    struct suspect at[SUSPECTS_MAX];
    size_t count;
};

static struct {
    uint32_t deaths;               /* restarts of all slots that were looked into */
    uint32_t looks;                /* still to be made */
    uint32_t next_s;               /* when */
    int fd;                        /* where the present look goes on; 0: at its beginning */
    struct suspects before, found; /* by the last look, and by the present one */
} audit;

static uint64_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/* ---- Notes ---- */

/* Makes room by dropping notes whose descriptor has been closed since. */
static void drop_stale(struct worker *worker)
{
    for (size_t i = 0; i < SLOT_AUX_MAX; i++) {
        struct slot_aux *aux = &worker->slot->aux[i];
        const int fd = atomic_load_explicit(&aux->fd, memory_order_relaxed);
        if (fd > 0 && inode_of(fd) != atomic_load_explicit(&aux->inode, memory_order_relaxed))
            atomic_store_explicit(&aux->fd, 0, memory_order_release);
    }
}

int descriptors_note(struct worker *worker, int fd)
{
    const uint64_t inode = inode_of(fd);
    if (slot_aux_add(worker->slot, fd, inode) == 0)
        return 0;
    drop_stale(worker);
    return slot_aux_add(worker->slot, fd, inode);
}

void descriptors_forget(struct worker *worker, int fd)
{
    slot_aux_remove(worker->slot, fd);
}

void descriptors_close_noted(struct worker *worker)
{
    drop_stale(worker);
    for (size_t i = 0; i < SLOT_AUX_MAX; i++) {
        struct slot_aux *aux = &worker->slot->aux[i];
        const int fd = atomic_load_explicit(&aux->fd, memory_order_relaxed);
        if (fd <= 0)
            continue;
        atomic_store_explicit(&aux->fd, 0, memory_order_release);
        KILLPOINT(AUX_FORGOTTEN);
        close(fd);
    }
}

/* ---- The audit ---- */

/* A listening socket that a reload has opened has any number. */
static bool is_listener(const struct worker *worker, int fd)
{
    for (size_t i = 0; i < worker->setup->listen_count; i++)
        if (worker->setup->listen_fds[i] == fd)
            return true;
    return worker->setup->admin_fd == fd;
}

static bool is_connection(const struct worker *worker, int fd)
{
    return word_state(conn_word(&worker->table[fd])) != CONN_FREE;
}

static bool is_known(const struct worker *worker, int fd, uint64_t inode)
{
    if (is_listener(worker, fd))
        return true;
    for (uint32_t i = 0; i < worker_slots(worker); i++) {
        const struct slot *slot = &worker->segment->slot[i];
        if (slot_holds(slot, fd) || slot_aux_has(slot, fd, inode))
            return true;
    }
    return false;
}

/* Of a descriptor that could be a connection's. */
static uint64_t word_of(const struct worker *worker, int fd)
{
    return (uint32_t)fd < worker->capacity ? conn_word(&worker->table[fd]) : 0;
}

/* Where its record has changed since, somebody has it in hand just now. */
static bool was_suspect(struct suspect now)
{
    for (size_t i = 0; i < audit.before.count; i++)
        if (audit.before.at[i].fd == now.fd && audit.before.at[i].inode == now.inode &&
            audit.before.at[i].word == now.word)
            return true;
    return false;
}

/* A connection's may be closed by another worker too, whose epoll set still has it. */
static void reclaim(struct worker *worker, struct suspect suspect)
{
    if ((uint32_t)suspect.fd < worker->capacity &&
        !conn_reclaim(&worker->table[suspect.fd], suspect.word))
        return;
    log_info("descriptor_reclaimed", "fd=%d", suspect.fd);
    stats_add(&worker->stats->reclaimed, 1);
    close(suspect.fd);
}

/* A descriptor that is no connection. */
static void look_at(struct worker *worker, int fd)
{
    const struct suspect suspect = {fd, inode_of(fd), word_of(worker, fd)};
    if (suspect.inode == 0 || is_known(worker, fd, suspect.inode))
        return;
    if (was_suspect(suspect))
        reclaim(worker, suspect);
    else if (audit.found.count < SUSPECTS_MAX)
        audit.found.at[audit.found.count++] = suspect;
}

/* Looks at a slice of all numbers. Returns whether it was the last. */
static bool look(struct worker *worker)
{
    const int end = open_fds_end();
    const int records = (int)segment_high(worker->segment);
    int fd = audit.fd ? audit.fd : (int)worker->segment->header->own_fds;
    for (int i = 0; i < SLICE && fd < end; i++, fd++)
        if (fd >= records || !is_connection(worker, fd))
            look_at(worker, fd);
    audit.fd = fd;
    return fd >= end;
}

static void end_look(void)
{
    audit.before = audit.found;
    audit.found.count = 0;
    audit.fd = 0;
    audit.looks--;
}

static uint32_t all_deaths(const struct worker *worker)
{
    uint32_t deaths = 0;
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        deaths += atomic_load_explicit(&worker->segment->slot[i].restarts, memory_order_relaxed);
    return deaths;
}

void descriptors_audit(struct worker *worker)
{
    const uint32_t deaths = all_deaths(worker);
    if (worker->id != worker_node_home(worker))
        return;
    if (deaths != audit.deaths) {
        audit.deaths = deaths;
        audit.looks = 2;
        if (audit.next_s <= worker->now_s)
            audit.next_s = worker->now_s + 1;
    }
    if (audit.looks == 0 || (audit.fd == 0 && worker->now_s < audit.next_s))
        return;
    if (audit.fd == 0)
        audit.next_s = worker->now_s + AUDIT_APART_S;
    if (look(worker))
        end_look();
}
