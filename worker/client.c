/*
 * See client.h. A read fills the worker's scratch buffer, and the codec's events are handled from
 * there; only an unfinished message is kept (hold.h). A connection is marked dirty while bytes of
 * it have left the kernel and are not handled: a successor that finds the mark closes the
 * connection with 1012 instead of serving it with bytes missing.
 */
#include "worker/client.h"

#include "common/killpoint.h"
#include "proto/ws.h"
#include "worker/answers.h"
#include "worker/batch.h"
#include "worker/hold.h"
#include "worker/damage.h"
#include "worker/home.h"
#include "worker/limits.h"
#include "worker/outbox.h"
#include "worker/requests.h"
#include "worker/trace.h"
#include "worker/upgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256 /* of one epoll_wait(2) */
};

static _Atomic uint64_t *closed_counter(struct stats *stats, enum closed_reason reason)
{
    switch (reason) {
#define CLOSED_CASE(name, field) \
    case name:                   \
        return &stats->field;
        CLOSED_REASONS(CLOSED_CASE)
#undef CLOSED_CASE
    }
    return &stats->closed_reset;
}

static int client_fd(const struct worker *worker, const struct conn *conn)
{
    return (int)(conn - worker->table);
}

static void client_set_events(struct worker *worker, struct conn *conn, bool room)
{
    struct epoll_event event = {.events = EPOLLIN | (room ? (uint32_t)EPOLLOUT : 0),
                                .data.u64 = conn_ref_pack(conn_ref(worker->table, conn))};
    epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_MOD, client_fd(worker, conn), &event);
    KILLPOINT(WATCH_CHANGED);
    if (room)
        conn_set(conn, CONN_WRITING);
    else
        conn_clear(conn, CONN_WRITING);
}

int client_watch(struct worker *worker, struct conn *conn)
{
    if (conn_has(conn, CONN_WATCHED))
        return 0;
    /* A connection from another worker may have brought a backlog. */
    const bool room = conn_has(conn, CONN_WRITING);
    struct epoll_event event = {.events = EPOLLIN | (room ? (uint32_t)EPOLLOUT : 0),
                                .data.u64 = conn_ref_pack(conn_ref(worker->table, conn))};
    const int done =
        epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_ADD, client_fd(worker, conn), &event);
    if (done == -1 && errno != EEXIST)
        return -1;
    KILLPOINT(WATCH_ADDED);
    conn_set(conn, CONN_WATCHED);
    return 0;
}

void client_unwatch(struct worker *worker, struct conn *conn)
{
    if (!conn_has(conn, CONN_WATCHED))
        return;
    epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_DEL, client_fd(worker, conn), NULL);
    KILLPOINT(WATCH_DELETED);
    conn_clear(conn, CONN_WATCHED);
}

/* ---- Ends ---- */

void client_end(struct worker *worker, struct conn *conn, enum closed_reason reason)
{
    const enum conn_state state = word_state(conn_word(conn));
    const int fd = client_fd(worker, conn);
    if (!damage_is_none(worker, (uint32_t)fd)) {
        damage_confine(worker, (uint32_t)fd);
        return;
    }
    if (state == CONN_OPEN || state == CONN_SUBSCRIBING) {
        stats_add(closed_counter(worker->stats, reason), 1);
        trace_closed(worker, conn, reason, 0);
        /* First: a successor that finds it half ended must not take it for a connection to be
         * served. */
        conn_set_state(conn, CONN_CLOSING);
    }
    KILLPOINT(END_COUNTED);
    home_leave(worker, conn);
    outbox_forget(worker, conn);
    answers_forget(worker, conn);
    const uint64_t dropped = hold_drop(worker, conn);
    stats_add(&worker->stats->dropped_closed, dropped);
    trace_dropped(worker, conn, dropped, "closed");
    worker_count(worker, -1, 0);
    limits_lose(worker, conn);
    KILLPOINT(END_LEFT);
    conn_release(conn);
    KILLPOINT(END_RELEASED);
    close(fd);
}

/* Drops the waiting pushes of a connection that is being closed, so that the close frame comes
 * right after a partly sent one: a client that does not learn why it was closed comes back. */
static void backlog_drop_pushes(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    if (!hold || hold->count == 0)
        return;
    const uint64_t dropped = hold_drop_pushes(hold);
    stats_add(&worker->stats->dropped_closed, dropped);
    trace_dropped(worker, conn, dropped, "closed");
    hold_show(worker, conn);
}

void client_close(struct worker *worker, struct conn *conn, uint16_t code, const char *text,
                  enum closed_reason reason)
{
    outbox_reserve(worker, 0);
    const enum conn_state state = word_state(conn_word(conn));
    if (state != CONN_OPEN && state != CONN_SUBSCRIBING)
        return;
    stats_add(closed_counter(worker->stats, reason), 1);
    trace_closed(worker, conn, reason, code);
    KILLPOINT(CLOSE_COUNTED);
    conn->seen = worker->now_s;
    conn_set_state(conn, CONN_CLOSING); /* first: see client_end */
    KILLPOINT(CLOSE_STATE);
    home_leave(worker, conn);
    KILLPOINT(CLOSE_LEFT);
    if (state == CONN_SUBSCRIBING && !conn_has(conn, CONN_GREETING))
        outbox_drop_pushes(worker, conn); /* no push is sent before HELLO */
    backlog_drop_pushes(worker, conn);
    outbox_add(worker, conn, outbox_close(worker, code, text));
}

/* Ends a slow client's connection, whose socket and backlog are full. Sends the close frame if it
 * can be sent; then a reset, because an orderly close would wait behind everything that the kernel
 * holds. */
static void end_slow_client(struct worker *worker, struct conn *conn)
{
    static const char text[] = "too slow";
    const struct hold *hold = hold_find(worker, conn);
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    uint8_t frame[WS_CLOSE_FRAME_MAX];
    if (!hold || hold_at(hold, 0)->sent == 0) {
        const size_t len = ws_close_frame(frame, WS_CLOSE_SLOW, text, sizeof(text) - 1);
        (void)!send(client_fd(worker, conn), frame, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    setsockopt(client_fd(worker, conn), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    const uint64_t dropped = hold_drop(worker, conn);
    stats_add(&worker->stats->dropped_slow, dropped);
    trace_dropped(worker, conn, dropped, "slow");
    client_end(worker, conn, CLOSED_SLOW);
}

/* Makes the backlog fit its limit by dropping whole pushes. Returns false if it cannot: the
 * remaining frames must not be dropped. */
static bool drop_oldest_pushes(struct worker *worker, const struct conn *conn, struct hold *hold)
{
    uint64_t dropped = 0;
    while (hold_exceeds(hold, worker->config->queue_limit)) {
        if (!hold_drop_oldest(hold))
            break;
        dropped++;
    }
    stats_add(&worker->stats->dropped_slow, dropped);
    trace_dropped(worker, conn, dropped, "slow");
    return !hold_exceeds(hold, worker->config->queue_limit);
}

/* True if the backlog fits its limit, or has been made to fit if the policy permits. */
static bool backlog_fits(struct worker *worker, const struct conn *conn, struct hold *hold)
{
    if (!hold_exceeds(hold, worker->config->queue_limit))
        return true;
    return worker->config->slow_policy == SLOW_DROP_OLDEST &&
           drop_oldest_pushes(worker, conn, hold);
}

void client_backlogged(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    if (word_state(conn_word(conn)) == CONN_CLOSING)
        backlog_drop_pushes(worker, conn);
    if (!backlog_fits(worker, conn, hold)) {
        end_slow_client(worker, conn);
        return;
    }
    hold_show(worker, conn);
    /* Pushes that wait for HELLO are released by it (home.c), not by room in the socket. */
    const bool waits_for_hello =
        word_state(conn_word(conn)) == CONN_SUBSCRIBING && hold_at(hold, 0)->push;
    if (!waits_for_hello && !conn_has(conn, CONN_WRITING))
        client_set_events(worker, conn, true);
}

void client_caught_up(struct worker *worker, struct conn *conn)
{
    if (conn_has(conn, CONN_WRITING))
        client_set_events(worker, conn, false);
    trace_caught_up(worker, conn);
    client_flushed(worker, conn);
}

/* Ends the connection once both close frames are through (RFC 6455 §7.1.1). Before that, shuts down
 * only the sending side. */
void client_flushed(struct worker *worker, struct conn *conn)
{
    const uint64_t word = conn_word(conn);
    if (word_state(word) != CONN_CLOSING)
        return;
    if (word_flags(word) & CONN_CLOSE_IN)
        client_end(worker, conn, CLOSED_PEER);
    else
        shutdown(client_fd(worker, conn), SHUT_WR);
}

/* ---- Input ---- */

/* Answers with the peer's close code, or with none if the peer gave none (RFC 6455 §5.5.1). */
static void answer_close_frame(struct worker *worker, struct conn *conn,
                               const struct ws_event *event)
{
    conn_set(conn, CONN_CLOSE_IN);
    client_close(worker, conn, event->close_code, "", CLOSED_PEER);
}

static void handle_control_frame(struct worker *worker, struct conn *conn,
                                 const struct ws_event *event)
{
    outbox_reserve(worker, event->len);
    if (event->opcode == WS_PING)
        outbox_add(worker, conn, outbox_frame(worker, WS_PONG, event->data, event->len));
    else if (event->opcode == WS_CLOSE)
        answer_close_frame(worker, conn, event);
}

/* Handles a piece of a message. A message that came in one piece is not copied. */
static void handle_data_piece(struct worker *worker, struct conn *conn,
                              const struct ws_event *event)
{
    if (event->first && event->last) {
        request_received(worker, conn, event->opcode, event->data, event->len);
        return;
    }
    struct hold *hold = hold_get(worker, conn);
    hold_append(hold, event->data, event->len);
    if (!event->last)
        return;
    uint8_t *const message = hold->in;
    const uint32_t len = hold->in_len;
    hold->in = NULL;
    hold_clear_in(hold);
    request_received(worker, conn, event->opcode, message, len);
    free(message);
}

/* True if the client's input is still handled: until the close frame is sent. */
static bool is_input_handled(const struct conn *conn)
{
    const enum conn_state state = word_state(conn_word(conn));
    return state == CONN_OPEN || state == CONN_SUBSCRIBING;
}

/* Handles the events in the bytes. Returns false if the connection no longer reads. */
static bool handle_ws_events(struct worker *worker, struct conn *conn, struct ws_rx *rx,
                             uint8_t *bytes, size_t len)
{
    const struct ws_limits limits = {.max_message = worker->config->max_message, .masked = true};
    for (size_t used = 0; used < len && is_input_handled(conn);) {
        struct ws_event event;
        const ssize_t n = ws_rx_next(rx, &limits, bytes + used, len - used, &event);
        if (n < 0) {
            client_close(worker, conn, (uint16_t)-n, ws_close_text((uint16_t)-n), CLOSED_PROTOCOL);
            return false;
        }
        used += (size_t)n;
        if (event.kind == WS_EVENT_DATA)
            handle_data_piece(worker, conn, &event);
        else if (event.kind == WS_EVENT_CONTROL)
            handle_control_frame(worker, conn, &event);
    }
    return is_input_handled(conn);
}

void client_feed(struct worker *worker, struct conn *conn, uint8_t *bytes, size_t len)
{
    struct ws_rx rx = {0};
    const struct hold *before = hold_find(worker, conn);
    if (before)
        rx = before->rx;
    stats_add(&worker->stats->bytes_in, len);
    if (!handle_ws_events(worker, conn, &rx, bytes, len))
        return;
    if (!ws_rx_idle(&rx))
        hold_get(worker, conn)->rx = rx;
    else if (hold_find(worker, conn))
        hold_find(worker, conn)->rx = rx;
    hold_settle(worker, conn);
}

/* Reads once. Returns the number of bytes, 0 if there are none now, or -1 if the connection has
 * ended. */
static ssize_t receive_bytes(struct worker *worker, struct conn *conn)
{
    const ssize_t n = recv(client_fd(worker, conn), worker->scratch, SCRATCH_SIZE, MSG_DONTWAIT);
    if (n > 0)
        return n;
    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    client_end(worker, conn, n == 0 ? CLOSED_PEER : CLOSED_RESET);
    return -1;
}

static void read_open_conn(struct worker *worker, struct conn *conn)
{
    hold_mark(worker, conn);
    KILLPOINT(READ_MARKED);
    const ssize_t n = receive_bytes(worker, conn);
    if (n > 0) {
        KILLPOINT(READ_DONE);
        conn->seen = worker->now_s;
        if (conn_has(conn, CONN_PINGED))
            conn_clear(conn, CONN_PINGED);
        client_feed(worker, conn, worker->scratch, (size_t)n);
    } else if (n == 0) {
        hold_settle(worker, conn);
    }
}

/* Discards input until the peer closes: the close frame has been queued. */
static void discard_while_closing(struct worker *worker, struct conn *conn)
{
    while (receive_bytes(worker, conn) == SCRATCH_SIZE)
        ;
}

/* Does nothing: a connection in this state is not in this worker's set. */
static void ignore_read_event(struct worker *worker, struct conn *conn)
{
    (void)worker;
    (void)conn;
}

static void (*const read_in[])(struct worker *, struct conn *) = {
    [CONN_FREE] = ignore_read_event,   [CONN_HANDSHAKE] = upgrade_read,
    [CONN_MOVING] = ignore_read_event, [CONN_SUBSCRIBING] = read_open_conn,
    [CONN_OPEN] = read_open_conn,      [CONN_CLOSING] = discard_while_closing,
};

/* Closes the socket of a worker that died between freeing the record and close(2). If so the record
 * is still free, and the socket is still registered. Neither alone proves it: a socket that another
 * process also holds open (the child that fork(2) has just made for a trial) still wakes its set
 * after its number has been reused. The audit (audit.h) may have found it, too. */
static void close_leftover_socket(const struct worker *worker, struct conn_ref ref)
{
    struct conn *conn = &worker->table[ref.fd];
    if (word_state(conn_word(conn)) == CONN_FREE &&
        epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_DEL, (int)ref.fd, NULL) == 0 &&
        conn_reclaim(conn, word_make(ref.generation + 1, 0, CONN_FREE, 0)))
        close((int)ref.fd);
}

/* Handles a socket that is in the set but is not, or no longer, this worker's connection by its
 * record. If the record is another worker's, the socket would wake this worker again and again. */
static void unregister_stranger(struct worker *worker, struct conn_ref ref)
{
    const uint64_t word = conn_word(&worker->table[ref.fd]);
    if (!word_is_of(word, worker->id))
        epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_DEL, (int)ref.fd, NULL);
    else if (word_flags(word) & CONN_WATCHED && word_generation(word) != ref.generation)
        damage_confine(worker, ref.fd);
}

static void handle_client_event(struct worker *worker, const struct epoll_event *event)
{
    const struct conn_ref ref = conn_ref_unpack(event->data.u64);
    struct conn *conn = conn_deref(worker->table, worker->capacity, ref, worker->id);
    if (!conn) {
        /* It ended within this call, or when a worker died; or its record was written over. */
        close_leftover_socket(worker, ref);
        unregister_stranger(worker, ref);
        return;
    }
    words_connection(&worker->slot->words, ref.fd, ref.generation);
    if (event->events & EPOLLOUT)
        outbox_resume(worker, conn);
    if (conn_deref(worker->table, worker->capacity, ref, worker->id) != conn)
        return;
    if (event->events & ~(uint32_t)EPOLLOUT)
        read_in[word_state(conn_word(conn))](worker, conn);
    if (batch_is_sending(worker) &&
        conn_deref(worker->table, worker->capacity, ref, worker->id) == conn)
        outbox_hurry(worker, conn);
}

void clients_ready(struct worker *worker)
{
    struct epoll_event events[EVENTS_MAX];
    const int n = epoll_wait(worker->slot->epoll_fd, events, EVENTS_MAX, 0);
    words_doing(&worker->slot->words, DOING_READING);
    for (int i = 0; i < n; i++)
        handle_client_event(worker, &events[i]);
    words_connection(&worker->slot->words, 0, 0);
}
