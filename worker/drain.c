/*
 * See drain.h. The delays in BYE are spread evenly over drain_timeout, so that the clients do not
 * all come back at once.
 */
#include "worker/drain.h"

#include "proto/ws.h"
#include "worker/accept.h"
#include "worker/client.h"
#include "worker/command.h"
#include "worker/outbox.h"

#include <stdio.h>

enum {
    LEAVE_MS = 200,    /* how long a leaving worker waits for answers that Redis owes */
    PATIENCE_MS = 3000 /* how long clients may take to close, at most */
};

static uint64_t drain_ends_ms;
static uint64_t leave_began_ms;

/* Answers to requests of clients are waited for: a successor could not tell whose they are. */
static void leave(struct worker *worker)
{
    if (leave_began_ms == 0)
        leave_began_ms = worker->now_ms;
    worker->leaving = command_owed(worker) == 0 || worker->now_ms - leave_began_ms >= LEAVE_MS;
    worker->stopping = worker->leaving;
}

static void say_bye(struct worker *worker, struct conn *conn, uint32_t delay_ms)
{
    char json[64];
    const int len =
        snprintf(json, sizeof(json), "{\"reason\":\"drain\",\"reconnect_ms\":%u}", delay_ms);
    const struct message bye = {
        .op = OP_BYE, .form = PAYLOAD_JSON, .payload = (const uint8_t *)json, .len = (size_t)len};
    if (!conn_has(conn, CONN_ECHO)) {
        outbox_reserve(worker, sizeof(json));
        outbox_add(worker, conn, outbox_message(worker, &bye, conn_has(conn, CONN_JSON)));
    }
    client_close(worker, conn, WS_CLOSE_GOING_AWAY, ws_close_text(WS_CLOSE_GOING_AWAY),
                 CLOSED_DRAIN);
}

static void drain_one(struct worker *worker, struct conn *conn, uint32_t *rank, uint32_t count)
{
    const enum conn_state state = word_state(conn_word(conn));
    const uint64_t spread_ms = (uint64_t)worker->config->drain_timeout * 1000;
    if (state == CONN_HANDSHAKE)
        client_end(worker, conn, CLOSED_DRAIN);
    else if (state == CONN_OPEN || state == CONN_SUBSCRIBING)
        say_bye(worker, conn, (uint32_t)(spread_ms * ++*rank / (count + 1)));
}

static void begin(struct worker *worker)
{
    const uint32_t high = atomic_load_explicit(&worker->slot->high, memory_order_relaxed);
    const uint32_t count = atomic_load_explicit(&worker->slot->connections, memory_order_relaxed);
    const uint64_t patience = (uint64_t)worker->config->drain_timeout * 1000;
    uint32_t rank = 0;
    worker->draining = true;
    drain_ends_ms = worker->now_ms + (patience < PATIENCE_MS ? patience : PATIENCE_MS);
    accept_close(worker);
    for (uint32_t fd = 0; fd < high; fd++)
        if (word_owner(conn_word(&worker->table[fd])) == worker->id)
            drain_one(worker, &worker->table[fd], &rank, count);
    outbox_flush(worker);
}

/* Whoever has not closed by now is cut off. */
static void cut_off(struct worker *worker)
{
    const uint32_t high = atomic_load_explicit(&worker->slot->high, memory_order_relaxed);
    for (uint32_t fd = 0; fd < high; fd++) {
        const uint64_t word = conn_word(&worker->table[fd]);
        if (word_owner(word) == worker->id && word_state(word) != CONN_FREE &&
            word_state(word) != CONN_MOVING)
            client_end(worker, &worker->table[fd], CLOSED_DRAIN);
    }
}

void drain_turn(struct worker *worker)
{
    struct slot *slot = worker->slot;
    const uint32_t command = atomic_load_explicit(&slot->command, memory_order_acquire);
    const bool drained = atomic_load_explicit(&slot->drained, memory_order_relaxed);
    if (command == SLOT_LEAVE && !worker->draining)
        leave(worker);
    if (command == SLOT_STOP || (worker->orphaned && drained))
        worker->stopping = true;
    if (((command == SLOT_RUN || command == SLOT_LEAVE) && !worker->orphaned) || drained)
        return;
    if (!worker->draining)
        begin(worker);
    const bool over = worker->now_ms >= drain_ends_ms || worker->stopping;
    if (over)
        cut_off(worker);
    if (over || atomic_load_explicit(&slot->connections, memory_order_relaxed) == 0)
        atomic_store_explicit(&slot->drained, 1, memory_order_release);
}
