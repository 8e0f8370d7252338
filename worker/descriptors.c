/*
 * See descriptors.h. A descriptor that is unknown twice, AUDIT_APART_S apart, with the same inode
 * and under the same number, with its record unchanged, belongs to nobody: whoever opens one makes
 * it known within microseconds, or, for a resolver's socket, closes it within less time than that.
 */
#include "worker/descriptors.h"

#include "common/killpoint.h"
#include "common/log.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    AUDIT_APART_S = 10, /* seconds between two looks at the same suspect */
    SUSPECTS_MAX = 256  /* more are found the next time */
};

struct suspect {
    int fd;
    uint64_t inode;
    uint64_t word; /* of its record */
};

static struct {
    uint32_t deaths; /* restarts of all slots that were looked into */
    uint32_t looks;  /* still to be made */
    uint32_t next_s; /* when */
    struct suspect suspect[SUSPECTS_MAX];
    size_t count;
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

static bool is_known(const struct worker *worker, int fd, uint64_t inode)
{
    if ((uint32_t)fd < worker->segment->header->own_fds || is_listener(worker, fd))
        return true;
    if ((uint32_t)fd < worker->capacity && word_state(conn_word(&worker->table[fd])) != CONN_FREE)
        return true;
    for (uint32_t i = 0; i < worker_slots(worker); i++) {
        const struct slot *slot = &worker->segment->slot[i];
        if (atomic_load_explicit(&slot->link.fd, memory_order_acquire) == fd ||
            atomic_load_explicit(&slot->parcel, memory_order_acquire) == fd ||
            slot_aux_has(slot, fd, inode))
            return true;
    }
    return false;
}

/* Of a descriptor that could be a connection's. */
static uint64_t word_of(const struct worker *worker, int fd)
{
    return (uint32_t)fd < worker->capacity ? conn_word(&worker->table[fd]) : 0;
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

/* Where its record has changed since, somebody has it in hand just now. */
static bool was_suspect(const struct suspect *before, size_t count, struct suspect now)
{
    for (size_t i = 0; i < count; i++)
        if (before[i].fd == now.fd && before[i].inode == now.inode && before[i].word == now.word)
            return true;
    return false;
}

/* One look at all that is open. */
static void look(struct worker *worker)
{
    struct suspect before[SUSPECTS_MAX];
    const size_t before_count = audit.count;
    DIR *open_fds = opendir("/proc/self/fd");
    if (!open_fds)
        return;
    for (size_t i = 0; i < before_count; i++)
        before[i] = audit.suspect[i];
    audit.count = 0;
    const struct dirent *entry;
    while ((entry = readdir(open_fds))) {
        const int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(open_fds))
            continue;
        const uint64_t inode = inode_of(fd);
        if (inode == 0 || is_known(worker, fd, inode))
            continue;
        const struct suspect suspect = {fd, inode, word_of(worker, fd)};
        if (was_suspect(before, before_count, suspect))
            reclaim(worker, suspect);
        else if (audit.count < SUSPECTS_MAX)
            audit.suspect[audit.count++] = suspect;
    }
    closedir(open_fds);
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
    if (audit.looks == 0 || worker->now_s < audit.next_s)
        return;
    audit.looks--;
    audit.next_s = worker->now_s + AUDIT_APART_S;
    look(worker);
}
