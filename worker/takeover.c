/*
 * See takeover.h. The sockets, the epoll set and the rings survive as they are. The table is read
 * once to rebuild the counts, because the dead worker may have died between a change and its count.
 * Connections that were not at rest are then handled one by one; those whose bytes died with the
 * worker are closed with 1012, because their clients would otherwise miss pushes without knowing.
 */
#include "worker/takeover.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "proto/ws.h"
#include "worker/client.h"
#include "worker/damage.h"
#include "worker/descriptors.h"
#include "worker/hold.h"
#include "worker/home.h"
#include "worker/limits.h"
#include "worker/link_streams.h"
#include "worker/lobby.h"
#include "worker/node.h"
#include "worker/parcel.h"
#include "worker/poison.h"
#include "worker/rehome.h"
#include "worker/rings.h"
#include "worker/sending.h"
#include "worker/subscribe.h"
#include "worker/topic.h"
#include "worker/unrest.h"

#include <string.h>
#include <sys/socket.h>

/* Closes a connection whose bytes were only in the dead worker's memory, or that caused its death.
 * If a backlog waited, the client may be in the middle of a frame and would take a close frame for
 * a piece of it, so none is sent. */
static void takeover_end_connection(struct worker *worker, struct conn *conn, uint16_t code,
                                    enum closed_reason reason)
{
    const char *text = ws_close_text(code);
    uint8_t frame[WS_CLOSE_FRAME_MAX];
    const int fd = (int)(conn - worker->table);
    const size_t len = ws_close_frame(frame, code, text, strlen(text));
    const uint64_t word = conn_word(conn);
    if ((word_state(word) == CONN_OPEN || word_state(word) == CONN_SUBSCRIBING) &&
        !(word_flags(word) & CONN_WRITING))
        (void)!send(fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    conn->held = 0;
    conn->incarnation = worker->incarnation;
    client_end(worker, conn, reason);
}

static void takeover_end_lost(struct worker *worker, struct conn *conn)
{
    if (poison_is_connection(worker, conn))
        takeover_end_connection(worker, conn, WS_CLOSE_INTERNAL, CLOSED_POISON);
    else
        takeover_end_connection(worker, conn, WS_CLOSE_RESTART, CLOSED_DIRTY);
}

/* Calls `visit` for every record of this slot that is in use and was not at rest, and for a few
 * that were. */
static void for_each_unrest(struct worker *worker, const struct unrest *unrest,
                            void (*visit)(struct worker *, struct conn *))
{
    for (uint32_t fd = unrest_next(unrest, 0); fd < unrest->high; fd = unrest_next(unrest, fd + 1))
        if (!word_is_of(conn_word(&worker->table[fd]), worker->id))
            continue;
        else if (damage_is_none(worker, fd))
            visit(worker, &worker->table[fd]);
        else
            damage_confine(worker, fd);
}

/* True if a takeover has nothing to do for the connection. */
static bool connection_is_at_rest(const struct worker *worker, const struct conn *conn,
                                  uint64_t word)
{
    const uint32_t moved = CONN_DIRTY | CONN_GREETING | CONN_GIVEN | CONN_ASKED | CONN_WATCHED;
    return word_state(word) == CONN_OPEN && (word_flags(word) & moved) == CONN_WATCHED &&
           conn->held == 0 && worker->segment->sent[conn - worker->table] != 0;
}

/* Takes over one connection. One that is MOVING, or waits for its 101, is left alone, because its
 * adoption may still be in the ring. */
static void take_over_connection(struct worker *worker, struct conn *conn)
{
    const enum conn_state state = word_state(conn_word(conn));
    conn_clear(conn, CONN_GREETING); /* its HELLO was in the dead worker's outbox */
    /* The data it was given with is here by now, or lost; or its parcel was never completed. */
    conn_clear(conn, CONN_GIVEN);
    if (hold_lost(worker, conn) || poison_is_connection(worker, conn)) {
        if (state != CONN_SUBSCRIBING && state != CONN_MOVING)
            takeover_end_lost(worker, conn);
        return;
    }
    KILLPOINT(TAKEOVER_HALF);
    sending_catch_up(worker, conn);
    if (!hold_find(worker, conn))
        conn->held = 0;
    if (state == CONN_CLOSING)
        home_leave(worker, conn); /* the dead worker may not have done so */
    if (conn_has(conn, CONN_ASKED))
        lobby_again(worker, conn);
    else if (state != CONN_MOVING)
        client_watch(worker, conn);
}

/* Completes the send that the dead worker had in progress. */
static void finish_dead_send(struct worker *worker)
{
    struct conn *conn = sending_recover(worker);
    if (conn) {
        conn_set(
            conn,
            CONN_WRITING); /* in the middle of a frame: takeover_end_lost sends no close frame */
        takeover_end_lost(worker, conn);
    }
    sending_end(worker);
}

/* Ends a connection that no adoption in the rings has restored. One that is still MOVING was not in
 * a ring: the dead worker was adopting it itself, and takeover_recount has left it out. */
static void takeover_end_if_lost(struct worker *worker, struct conn *conn)
{
    if (!hold_lost(worker, conn))
        return;
    if (word_state(conn_word(conn)) == CONN_MOVING)
        home_count(worker, conn);
    takeover_end_lost(worker, conn);
}

/* Rebuilds the counts, and returns the parts of the table that are not at rest. */
static struct unrest takeover_recount(struct worker *worker)
{
    const uint32_t high = worker_high(worker);
    struct unrest unrest = unrest_among(high);
    uint32_t connections = 0, users = 0;
    limits_forget(worker);
    for (uint32_t fd = 0; fd < high; fd++) {
        const struct conn *conn = &worker->table[fd];
        const uint64_t word = conn_word(conn);
        if (!word_is_of(word, worker->id))
            continue;
        if (!connection_is_at_rest(worker, conn, word) || poison_is_connection(worker, conn))
            unrest_note(&unrest, fd);
        if (word_state(word) == CONN_MOVING)
            continue;
        connections++;
        users += (word_flags(word) & CONN_INDEXED) != 0;
        limits_gain(worker, conn);
    }
    atomic_store_explicit(&worker->slot->connections, connections, memory_order_relaxed);
    atomic_store_explicit(&worker->slot->ready_users, users, memory_order_relaxed);
    return unrest;
}

void takeover_rebuild(struct worker *worker)
{
    const uint32_t high = worker_high(worker);
    stats_add(&worker->stats->index_rebuilds, 2);
    users_rebuild(&worker->users, worker->id, high);
    topics_rebuild(&worker->topics, worker->id, high);
    takeover_recount(worker);
}

void takeover_begin(struct worker *worker)
{
    descriptors_close_noted(worker);
    rehome_begin(worker);
    const uint32_t high = worker_high(worker);
    /* A worker that died by its own fault may have died of a damaged index. */
    if (worker->careful || !users_intact(&worker->users)) {
        stats_add(&worker->stats->index_rebuilds, 1);
        users_rebuild(&worker->users, worker->id, high);
    }
    if (worker->careful || !topics_intact(&worker->topics)) {
        stats_add(&worker->stats->index_rebuilds, 1);
        topics_rebuild(&worker->topics, worker->id, high);
    }
}

/* Finishes the pushes in hand before any other push: a record remembers the last push of one source
 * only, so pushes of another source would erase which of these it has had. */
static void resume_pushes_in_hand(struct worker *worker)
{
    const struct slot *slot = worker->slot;
    const uint32_t in_hand = atomic_load_explicit(&slot->in_hand, memory_order_acquire);
    /* Acquire: pairs with the release in batch_reach. */
    const uint64_t end = atomic_load_explicit(&slot->in_hand_end, memory_order_acquire);
    if (in_hand == 0)
        return;
    if (in_hand == 1 + LINK_SOURCE)
        link_resume(worker, end);
    else
        rings_resume(worker, in_hand - 1, end);
    worker_in_hand(worker, 0);
}

/* Wakes all other workers: the dead one may have made room, or published entries, and died before
 * it woke the other end. */
static void wake_all_workers(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->workers; i++)
        if (i != worker->id)
            ring_commit(&worker->in[i]);
    rings_tell_all(worker);
}

void takeover_finish(struct worker *worker)
{
    KILLPOINT(TAKEOVER_BEGUN);
    const struct unrest unrest = takeover_recount(worker);
    KILLPOINT(TAKEOVER_COUNTED);
    subscriptions_resume_gone(worker);
    node_recover(worker);
    topic_recover(worker);
    KILLPOINT(TAKEOVER_TOPICS);
    home_resume_handing(worker);
    parcel_take(worker);
    finish_dead_send(worker);
    for_each_unrest(worker, &unrest, take_over_connection);
    KILLPOINT(TAKEOVER_WALKED);
    rings_adopt_again(worker);
    for_each_unrest(worker, &unrest, takeover_end_if_lost);
    resume_pushes_in_hand(worker);
    wake_all_workers(worker);
    KILLPOINT(TAKEOVER_DONE);
    rehome_finish(worker);
    for_each_unrest(worker, &unrest, subscriptions_recover);
    stats_add(&worker->stats->takeovers, 1);
    log_info("took_over", "connections=%u",
             atomic_load_explicit(&worker->slot->connections, memory_order_relaxed));
}
