/*
 * See sweep.h. A connection that has been silent for `heartbeat` seconds is pinged; one that stays
 * silent for `heartbeat_timeout` more is closed with 4009. Any byte counts as a sign of life.
 *
 * Time limits count only while this process runs (worker_waited_s), because the peer may have kept
 * them while its bytes were not read. The interval before a ping counts all time, as proxies on the
 * way do.
 */
#include "worker/sweep.h"

#include "common/clock.h"
#include "common/log.h"
#include "proto/ws.h"
#include "worker/audit.h"
#include "worker/client.h"
#include "worker/command.h"
#include "worker/damage.h"
#include "worker/home.h"
#include "worker/link.h"
#include "worker/node.h"
#include "worker/outbox.h"
#include "worker/redis_watch.h"
#include "worker/sampler.h"

#include <stdlib.h>

enum {
    PERIOD_MAX = 4,   /* seconds: each record is visited at least this often */
    LINGER_S = 2,     /* seconds that a peer has to close after our close frame */
    CLOSE_LATE_S = 10 /* the same, while the kernel has no room for that frame */
};

struct sweep {
    struct event *tick;
    uint32_t next; /* record at which the next slice begins */
};

static void sweep_end_connection(struct worker *worker, struct conn *conn)
{
    client_end(worker, conn, CLOSED_RESET);
}

static void sweep_check_handshake(struct worker *worker, struct conn *conn)
{
    if (worker_waited_s(worker, conn->since) < worker->config->handshake_timeout)
        return;
    stats_add(&worker->stats->refused_timeout, 1);
    sweep_end_connection(worker, conn);
}

/* Ends a connection whose old owner died before it had handed it over, if no ORPHAN message came in
 * time (home_resume_handing). */
static void sweep_check_moving(struct worker *worker, struct conn *conn)
{
    if (worker_waited_s(worker, conn->since) < worker->config->handshake_timeout)
        return;
    home_count(worker, conn);
    sweep_end_connection(worker, conn);
}

/* True if the connection was pinged and has had `heartbeat_timeout` to answer. Times are whole
 * seconds: if the difference is n, more than n - 1 have passed. */
static bool ping_is_unanswered(const struct worker *worker, const struct conn *conn,
                               uint32_t silent)
{
    const struct config *config = worker->config;
    return conn_has(conn, CONN_PINGED) && silent > config->heartbeat + config->heartbeat_timeout &&
           worker_waited_s(worker, conn->seen) > config->heartbeat_timeout;
}

/* Sends a ping. The answer is due `heartbeat_timeout` after the ping, however long the silence was
 * by then: a worker that was paused, or began after a pause, sends its pings late. */
static void ping_silent_client(struct worker *worker, struct conn *conn)
{
    const uint32_t due = worker->now_s - worker->config->heartbeat - 1;
    if (conn->seen < due)
        conn->seen = due;
    conn_set(conn, CONN_PINGED);
    outbox_reserve(worker, 0);
    outbox_add(worker, conn, outbox_frame(worker, WS_PING, NULL, 0));
}

static void sweep_check_open(struct worker *worker, struct conn *conn)
{
    /* Another worker, whose clock may be ahead of ours, may have set `seen`. */
    const uint32_t silent = worker->now_s > conn->seen ? worker->now_s - conn->seen : 0;
    if (conn->expires && clock_wall_ms() / 1000 >= conn->expires) {
        client_close(worker, conn, WS_CLOSE_EXPIRED, ws_close_text(WS_CLOSE_EXPIRED),
                     CLOSED_EXPIRED);
    } else if (ping_is_unanswered(worker, conn, silent)) {
        client_close(worker, conn, WS_CLOSE_NO_HEARTBEAT, ws_close_text(WS_CLOSE_NO_HEARTBEAT),
                     CLOSED_HEARTBEAT);
    } else if (silent > worker->config->heartbeat && !conn_has(conn, CONN_PINGED)) {
        ping_silent_client(worker, conn);
    }
}

static void sweep_check_closing(struct worker *worker, struct conn *conn)
{
    const uint32_t patience = conn_has(conn, CONN_WRITING) ? CLOSE_LATE_S : LINGER_S;
    if (worker_waited_s(worker, conn->seen) >= patience)
        sweep_end_connection(worker, conn);
}

static void (*const checks[])(struct worker *, struct conn *) = {
    [CONN_HANDSHAKE] = sweep_check_handshake, [CONN_MOVING] = sweep_check_moving,
    [CONN_SUBSCRIBING] = sweep_check_open,    [CONN_OPEN] = sweep_check_open,
    [CONN_CLOSING] = sweep_check_closing,
};

static uint32_t sweep_least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Returns the seconds in which each record is visited once; short time limits need a short
 * period. */
static uint32_t sweep_period_s(const struct config *config)
{
    const uint32_t shortest = sweep_least_of(
        sweep_least_of(config->heartbeat, config->heartbeat_timeout), config->handshake_timeout);
    const uint32_t seconds = sweep_least_of(shortest / 4, PERIOD_MAX);
    return seconds ? seconds : 1;
}

static void sweep_table_slice(struct worker *worker)
{
    struct sweep *sweep = worker->sweep;
    const uint32_t high = worker_high(worker);
    const uint32_t slice = high / sweep_period_s(worker->config) + 1;
    words_doing(&worker->slot->words, DOING_SWEEPING);
    for (uint32_t i = 0; i < slice && i < high; i++) {
        if (sweep->next >= high)
            sweep->next = 0;
        struct conn *conn = &worker->table[sweep->next++];
        const uint64_t word = conn_word(conn);
        if (!word_is_of(word, worker->id))
            continue;
        words_connection(&worker->slot->words, sweep->next - 1, word_generation(word));
        if (damage_is_none(worker, sweep->next - 1))
            checks[word_state(word)](worker, conn);
        else
            damage_confine(worker, sweep->next - 1);
    }
    words_connection(&worker->slot->words, 0, 0);
}

static void sweep_on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)fd, (void)what;
    sweep_table_slice(worker);
    link_tick(worker);
    command_tick(worker);
    node_tick(worker);
    redis_watch_tick(worker);
    stats_add(&worker->stats->log_lost, log_tick());
    audit_tick(worker);
    sampler_tick(worker);
}

int sweep_open(struct worker *worker)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    if (!sweep)
        return -1;
    worker->sweep = sweep;
    sweep->tick = event_new(worker->base, -1, EV_PERSIST, sweep_on_tick, worker);
    return sweep->tick && event_add(sweep->tick, &(struct timeval){1, 0}) == 0 ? 0 : -1;
}
