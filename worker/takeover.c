/*
 * See takeover.h. The sockets, the epoll set and the rings need nothing. What is looked at is the
 * slot's part of the table, once: connections whose bytes died with the worker are closed with
 * 1012, because serving them on would be with a hole; the counts are made anew, because the dead
 * worker may have died between a change and its count.
 */
#include "worker/takeover.h"

#include "common/log.h"
#include "proto/ws.h"
#include "worker/client.h"
#include "worker/home.h"
#include "worker/node.h"
#include "worker/subscribe.h"

#include <sys/socket.h>
#include <unistd.h>

/* Descriptors that only the dead process could use: its admin clients, its command link. */
static void close_aux(struct slot *slot)
{
    for (int i = 0; i < SLOT_AUX_MAX; i++) {
        const int fd = atomic_load_explicit(&slot->aux[i], memory_order_relaxed);
        if (fd <= 0)
            continue;
        atomic_store_explicit(&slot->aux[i], 0, memory_order_relaxed);
        close(fd);
    }
}

/* Bytes of it were only in the dead worker's memory. */
static void end_dirty(struct worker *worker, struct conn *conn)
{
    static const char text[] = "service restart";
    uint8_t frame[WS_CLOSE_FRAME_MAX];
    const int fd = (int)(conn - worker->table);
    const size_t len = ws_close_frame(frame, WS_CLOSE_RESTART, text, sizeof(text) - 1);
    const enum conn_state state = word_state(conn_word(conn));
    if (state == CONN_OPEN || state == CONN_SUBSCRIBING)
        (void)!send(fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    conn_clear(conn, CONN_DIRTY);
    client_end(worker, conn, CLOSED_DIRTY);
}

/* A connection that waits for its 101 is adopted again, from the ring: rings.c comes to it. */
static bool comes_again(uint64_t word)
{
    return word_state(word) == CONN_SUBSCRIBING && word_flags(word) & CONN_DIRTY;
}

static void take_over(struct worker *worker, struct conn *conn)
{
    const uint64_t word = conn_word(conn);
    if (comes_again(word))
        return;
    if (word_flags(word) & CONN_DIRTY) {
        end_dirty(worker, conn);
        return;
    }
    conn->held = 0;
    if (word_state(word) != CONN_MOVING)
        client_watch(worker, conn);
}

static void recount(struct worker *worker)
{
    const uint32_t high = atomic_load_explicit(&worker->slot->high, memory_order_relaxed);
    uint32_t connections = 0, users = 0;
    for (uint32_t fd = 0; fd < high; fd++) {
        const uint64_t word = conn_word(&worker->table[fd]);
        if (word_owner(word) != worker->id || word_state(word) == CONN_FREE ||
            word_state(word) == CONN_MOVING)
            continue;
        connections++;
        users += (word_flags(word) & CONN_INDEXED) != 0;
    }
    atomic_store_explicit(&worker->slot->connections, connections, memory_order_relaxed);
    atomic_store_explicit(&worker->slot->ready_users, users, memory_order_relaxed);
}

void takeover_begin(struct worker *worker)
{
    close_aux(worker->slot);
    if (users_intact(&worker->users))
        return;
    stats_add(&worker->stats->index_rebuilds, 1);
    users_rebuild(&worker->users, worker->id,
                  atomic_load_explicit(&worker->slot->high, memory_order_relaxed));
}

void takeover_finish(struct worker *worker)
{
    const uint32_t high = atomic_load_explicit(&worker->slot->high, memory_order_relaxed);
    recount(worker);
    node_recover(worker);
    home_resume_handing(worker);
    for (uint32_t fd = 0; fd < high; fd++) {
        struct conn *conn = &worker->table[fd];
        const uint64_t word = conn_word(conn);
        if (word_owner(word) == worker->id && word_state(word) != CONN_FREE)
            take_over(worker, conn);
    }
    subscriptions_recover(worker);
    stats_add(&worker->stats->takeovers, 1);
    log_info("took_over", "connections=%u",
             atomic_load_explicit(&worker->slot->connections, memory_order_relaxed));
}
