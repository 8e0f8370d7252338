/*
 * See drain.h. Each client is given its own time to reconnect within drain_timeout, so that not all
 * return at once; the clients of all workers share one schedule (shm/board.h). A client that this
 * worker adopts later, because its handshake was in progress, is told on arrival.
 *
 * The server does not wait until a client's time: the close frame follows BYE at once.
 */
#include "worker/drain.h"

#include "proto/ws.h"
#include "shm/board.h"
#include "worker/accept.h"
#include "worker/client.h"
#include "worker/command.h"
#include "worker/kicks.h"
#include "worker/outbox.h"

#include <stdio.h>

enum {
    LEAVE_MS = 200,    /* how long a leaving worker waits for answers that Redis owes */
    PATIENCE_MS = 3000 /* most time that clients have to close */
};

static uint64_t leave_began_ms;
static uint64_t drain_began_ms;
static uint64_t drain_patience_ms;
static struct turns turns; /* the reconnect times of this worker's clients */
static uint64_t told;      /* number of clients that have been told theirs */

/* Leaves once Redis has answered the clients' requests, or after LEAVE_MS: a successor could not
 * match the answers to the requests. */
static void leave_when_answered(struct worker *worker)
{
    if (leave_began_ms == 0)
        leave_began_ms = worker->now_ms;
    worker->leaving = (command_owed(worker) == 0 && !kicks_busy(worker)) ||
                      worker->now_ms - leave_began_ms >= LEAVE_MS;
    worker->stopping = worker->leaving;
}

/* True if the master was told to stop for good. Otherwise the server comes back: a service manager
 * restarts it after its master has died. */
static bool stops_for_good(const struct worker *worker)
{
    return atomic_load_explicit(&worker->segment->board->ending, memory_order_relaxed) ==
           ENDING_STOP;
}

static void send_bye_message(struct worker *worker, struct conn *conn)
{
    char json[64];
    const uint32_t delay_ms = turn_ms(&turns, told++, worker->config->drain_timeout * 1000);
    const int len = snprintf(json, sizeof(json), "{\"reason\":\"%s\",\"reconnect_ms\":%u}",
                             stops_for_good(worker) ? "drain" : "restart", delay_ms);
    const struct message bye = {
        .op = OP_BYE, .form = PAYLOAD_JSON, .payload = (const uint8_t *)json, .len = (size_t)len};
    outbox_add(worker, conn, outbox_message(worker, &bye, conn_has(conn, CONN_JSON)));
}

static void drain_connection(struct worker *worker, struct conn *conn)
{
    outbox_reserve(worker, 128);
    const uint16_t code = stops_for_good(worker) ? WS_CLOSE_GOING_AWAY : WS_CLOSE_RESTART;
    const uint64_t word = conn_word(conn);
    if (word_state(word) == CONN_HANDSHAKE)
        client_end(worker, conn, CLOSED_DRAIN);
    if (word_state(word) != CONN_OPEN && word_state(word) != CONN_SUBSCRIBING)
        return;
    if (!(word_flags(word) & CONN_ECHO))
        send_bye_message(worker, conn);
    client_close(worker, conn, code, ws_close_text(code), CLOSED_DRAIN);
}

static void drain_all_connections(struct worker *worker)
{
    const uint32_t high = worker_high(worker);
    for (uint32_t fd = 0; fd < high; fd++)
        if (word_owner(conn_word(&worker->table[fd])) == worker->id)
            drain_connection(worker, &worker->table[fd]);
    outbox_flush(worker);
}

static uint32_t count_ready_users(const struct worker *worker)
{
    return atomic_load_explicit(&worker->slot->ready_users, memory_order_relaxed);
}

static void begin_drain(struct worker *worker)
{
    const uint64_t patience = (uint64_t)worker->config->drain_timeout * 1000;
    worker->draining = true;
    drain_began_ms = worker->now_ms;
    drain_patience_ms = patience < PATIENCE_MS ? patience : PATIENCE_MS;
    turns =
        board_turns(worker->segment->board, worker->id, worker->workers, count_ready_users(worker));
    accept_close(worker);
    drain_all_connections(worker);
}

/* Closes the connections of clients that have not closed by now. */
static void cut_off_remaining(struct worker *worker)
{
    const uint32_t high = worker_high(worker);
    for (uint32_t fd = 0; fd < high; fd++) {
        const uint64_t word = conn_word(&worker->table[fd]);
        if (word_is_of(word, worker->id) && word_state(word) != CONN_MOVING)
            client_end(worker, &worker->table[fd], CLOSED_DRAIN);
    }
}

void drain_turn(struct worker *worker)
{
    struct slot *slot = worker->slot;
    const uint32_t command = atomic_load_explicit(&slot->command, memory_order_acquire);
    const bool drained = atomic_load_explicit(&slot->drained, memory_order_relaxed);
    if (command == SLOT_LEAVE && !worker->draining)
        leave_when_answered(worker);
    if (command == SLOT_STOP || (worker->orphaned && drained))
        worker->stopping = true;
    if ((command == SLOT_RUN || command == SLOT_LEAVE) && !worker->orphaned)
        return;
    if (!worker->draining)
        begin_drain(worker);
    else if (count_ready_users(worker) > 0)
        drain_all_connections(worker);
    if (drained)
        return;
    const bool over =
        worker_waited_ms(worker, drain_began_ms) >= drain_patience_ms || worker->stopping;
    if (over)
        cut_off_remaining(worker);
    if (over || atomic_load_explicit(&slot->connections, memory_order_relaxed) == 0)
        atomic_store_explicit(&slot->drained, 1, memory_order_release);
}
