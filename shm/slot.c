/*
 * Worker slots: the latch, the list of descriptors to close after a death, and the names of states.
 * A wake-up costs a fence, and a write(2) only if the worker sleeps. `sleeping` is the worker's
 * word, so a waker does not clear it: two wakers at once write twice, and the eventfd makes one
 * wake-up of that.
 *
 * Opens and closes no descriptor: the master makes them, and decides which to close after a death.
 */
#include "shm/slot.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/killpoint.h"
#include "shm/segment.h"

static const char *const link_state_names[] = {
#define LINK_STATE_NAME(name, text) [LINK_##name] = text,
    LINK_STATES(LINK_STATE_NAME)
#undef LINK_STATE_NAME
};
enum { LINK_STATE_COUNT = sizeof(link_state_names) / sizeof(link_state_names[0]) };

const char *link_state_name(enum link_state state)
{
    return (uint32_t)state < LINK_STATE_COUNT ? link_state_names[state] : "unknown";
}

bool latch_wake(const struct slot *slot)
{
    const uint64_t one = 1;

    /* Pairs with the fence in latch_rest: the caller published its work before this. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&slot->sleeping, memory_order_relaxed) == 0)
        return false;
    /* Fails only if the count is at its limit, and then the eventfd is readable. */
    return write(slot->event_fd, &one, sizeof(one)) == (ssize_t)sizeof(one);
}

void latch_drain(const struct slot *slot)
{
    uint64_t count;

    /* Fails only if the eventfd is empty. */
    if (read(slot->event_fd, &count, sizeof(count)) == -1)
        return;
}

uint32_t slot_aux_count(const struct slot *slot, enum slot_aux_use use)
{
    uint32_t count = 0;
    for (size_t i = 0; i < SLOT_AUX_MAX; i++)
        count += atomic_load_explicit(&slot->aux[i].fd, memory_order_relaxed) != 0 &&
                 atomic_load_explicit(&slot->aux[i].use, memory_order_relaxed) == use;
    return count;
}

/* Returns a free entry. There is one as long as no use has more than its places. */
static struct slot_aux *find_free_aux(struct slot *slot)
{
    size_t i = 0;
    while (i < SLOT_AUX_MAX && atomic_load_explicit(&slot->aux[i].fd, memory_order_relaxed) != 0)
        i++;
    return i < SLOT_AUX_MAX ? &slot->aux[i] : NULL;
}

int slot_aux_add(struct slot *slot, enum slot_aux_use use, int fd, uint64_t inode)
{
    static const uint32_t places[] = {
#define SLOT_AUX_PLACES(name, count) count,
        SLOT_AUX_USES(SLOT_AUX_PLACES)
#undef SLOT_AUX_PLACES
    };
    struct slot_aux *aux = slot_aux_count(slot, use) < places[use] ? find_free_aux(slot) : NULL;
    assert(fd > 0);
    if (!aux)
        return -1;
    /* Release: a reader that sees the descriptor also sees its inode and its use. */
    atomic_store_explicit(&aux->use, use, memory_order_relaxed);
    atomic_store_explicit(&aux->inode, inode, memory_order_release);
    KILLPOINT(AUX_INODE);
    atomic_store_explicit(&aux->fd, fd, memory_order_release);
    return 0;
}

void slot_aux_remove(struct slot *slot, int fd)
{
    for (size_t i = 0; i < SLOT_AUX_MAX; i++)
        if (atomic_load_explicit(&slot->aux[i].fd, memory_order_relaxed) == fd)
            atomic_store_explicit(&slot->aux[i].fd, 0, memory_order_release);
}

bool slot_aux_has(const struct slot *slot, int fd, uint64_t inode)
{
    for (size_t i = 0; i < SLOT_AUX_MAX; i++)
        if (atomic_load_explicit(&slot->aux[i].fd, memory_order_acquire) == fd &&
            atomic_load_explicit(&slot->aux[i].inode, memory_order_relaxed) == inode)
            return true;
    return false;
}

bool slot_gone_add(struct slot *slot, const char *user, size_t len)
{
    struct slot_gone *gone = &slot->gone;
    const uint32_t count = atomic_load_explicit(&gone->count, memory_order_relaxed);

    assert(len > 0 && len <= USER_MAX);
    if (count == SLOT_GONE_MAX)
        return false;
    gone->at[count].len = (uint8_t)len;
    memcpy(gone->at[count].user, user, len);
    /* Release: a successor that sees the count also sees the name. */
    atomic_store_explicit(&gone->count, count + 1, memory_order_release);
    return true;
}

/* True for a descriptor, and for 0 and -1, which mean none. */
static bool stored_fd_valid(int32_t fd, uint32_t capacity)
{
    return fd >= -1 && (fd == -1 || (uint32_t)fd < capacity);
}

static bool master_words_valid(const struct slot *slot, uint32_t capacity)
{
    const int32_t pid = atomic_load(&slot->pid);

    if (pid < 0 || atomic_load(&slot->command) > SLOT_STOP ||
        !stored_fd_valid(slot->epoll_fd, capacity) || !stored_fd_valid(slot->event_fd, capacity))
        return false;
    return pid == 0 ||
           (atomic_load(&slot->incarnation) > 0 && slot->epoll_fd > 0 && slot->event_fd > 0);
}

/* Compares no counts with each other: they change one by one. */
static bool worker_words_valid(const struct slot *slot, uint32_t capacity)
{
    return atomic_load(&slot->sleeping) <= 1 && atomic_load(&slot->connections) <= capacity &&
           atomic_load(&slot->ready_users) <= capacity && atomic_load(&slot->high) <= capacity &&
           conn_ref_unpack(atomic_load(&slot->handing)).fd < capacity &&
           atomic_load(&slot->in_hand) <= WORKERS_MAX + 1 &&
           atomic_load(&slot->node_state) <= NODE_DOUBTFUL && atomic_load(&slot->drained) <= 1 &&
           atomic_load(&slot->commands_up) <= 1 && slot->users.count <= capacity &&
           slot->users.buckets <= capacity &&
           atomic_load(&slot->topics.members) <= slot->topics.member_end &&
           atomic_load(&slot->topics.topics) <= slot->topics.topic_end &&
           (atomic_load(&slot->move.stage) & 0xff) <= STAGE_TRIMMED &&
           atomic_load(&slot->move.topics_gap) <= 1 &&
           words_valid(&slot->words, &slot->fault, slot->grave, &slot->poison);
}

/* If start is above end, a rewind is in progress. */
static bool stream_positions_valid(const struct stream *stream)
{
    const uint64_t start = stream_start(stream), end = stream_end(stream);

    return atomic_load(&stream->base) <= (start > end ? start : end);
}

static bool slot_link_valid(const struct slot_link *link, uint32_t capacity)
{
    return atomic_load(&link->state) < LINK_STATE_COUNT &&
           stored_fd_valid(atomic_load(&link->fd), capacity) && stream_positions_valid(&link->in) &&
           stream_positions_valid(&link->out) && link->batch_confirmed <= link->batch_sent &&
           atomic_load(&link->receiving) <= 1 && atomic_load(&link->sending) <= 1 &&
           atomic_load(&link->behind) <= 1;
}

static bool gone_users_valid(const struct slot_gone *gone)
{
    const uint32_t count = atomic_load(&gone->count);

    if (count > SLOT_GONE_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (gone->at[i].len == 0 || gone->at[i].len > USER_MAX)
            return false;
    return true;
}

bool slot_valid(const struct slot *slot, uint32_t capacity)
{
    if (!master_words_valid(slot, capacity) || !worker_words_valid(slot, capacity) ||
        !slot_link_valid(&slot->link, capacity) || !gone_users_valid(&slot->gone))
        return false;
    for (size_t i = 0; i < SLOT_AUX_MAX; i++) {
        const int32_t fd = atomic_load(&slot->aux[i].fd);
        if (fd < 0 || !stored_fd_valid(fd, capacity) ||
            atomic_load(&slot->aux[i].use) >= SLOT_AUX_USE_COUNT)
            return false;
    }
    return true;
}
