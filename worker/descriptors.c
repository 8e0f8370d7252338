/*
 * See descriptors.h. A note has the descriptor's number and inode, so it may outlive the
 * descriptor, whose number may have been reused: libevent does not tell when it closes one.
 */
#include "worker/descriptors.h"

#include "common/killpoint.h"

#include <sys/stat.h>
#include <unistd.h>

static uint64_t descriptor_inode(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/* Drops notes whose descriptor has been closed. */
static void drop_stale_notes(struct worker *worker)
{
    for (size_t i = 0; i < SLOT_AUX_MAX; i++) {
        struct slot_aux *aux = &worker->slot->aux[i];
        const int fd = atomic_load_explicit(&aux->fd, memory_order_relaxed);
        if (fd > 0 &&
            descriptor_inode(fd) != atomic_load_explicit(&aux->inode, memory_order_relaxed))
            atomic_store_explicit(&aux->fd, 0, memory_order_release);
    }
}

static int note_descriptor(struct worker *worker, enum slot_aux_use use, int fd)
{
    const uint64_t inode = descriptor_inode(fd);
    if (slot_aux_add(worker->slot, use, fd, inode) == 0)
        return 0;
    drop_stale_notes(worker);
    return slot_aux_add(worker->slot, use, fd, inode);
}

int descriptors_note(struct worker *worker, int fd)
{
    return note_descriptor(worker, SLOT_AUX_LINK, fd);
}

int descriptors_note_visitor(struct worker *worker, int fd)
{
    return note_descriptor(worker, SLOT_AUX_VISITOR, fd) == 0 ? (int)descriptors_visitors(worker)
                                                              : -1;
}

uint32_t descriptors_visitors(struct worker *worker)
{
    drop_stale_notes(worker);
    return slot_aux_count(worker->slot, SLOT_AUX_VISITOR);
}

void descriptors_forget(struct worker *worker, int fd)
{
    slot_aux_remove(worker->slot, fd);
}

/* Removes each note before close(2): a descriptor without an inode of its own (a pidfd) could not
 * be told from a later one with the same number. */
void descriptors_close_noted(struct worker *worker)
{
    drop_stale_notes(worker);
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
