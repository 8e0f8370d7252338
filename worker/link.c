/*
 * See link.h. The state is in the slot, and its changes are ordered so that a successor can tell at
 * every instruction whether the socket there is usable: a connection that was not established when
 * its worker died, or was being given up, is made again. A failure is recorded before the link
 * appears down, because clients are told of the failure (gap.c).
 *
 * No byte is read, routed or sent here: link_streams.c does that.
 */
#include "worker/link.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "worker/backoff.h"
#include "worker/descriptors.h"
#include "worker/link_private.h"
#include "worker/link_streams.h"
#include "worker/move.h"
#include "worker/node.h"
#include "worker/redis_connect.h"
#include "worker/redis_login.h"
#include "worker/redis_trouble.h"
#include "worker/rings.h"
#include "worker/subscribe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    RETRY_FIRST_MS = 50,        /* the first delay before reconnecting */
    RETRY_LAST_MS = 5000,       /* the longest */
    SILENCE_MS = 10000,         /* then Redis is sent a PING */
    SILENCE_TIMEOUT_MS = 15000, /* then the link counts as dead */
};

/* ---- The state ---- */

/* Returns a hash of the Redis URL, so that a successor notices if a reload has changed it. */
static uint64_t redis_address_hash(const struct worker *worker)
{
    const char *url = worker->config->redis;
    return users_hash(worker->segment->header->hash_seed, url, strlen(url));
}

/* Release: another worker that sees UP (worker_ready) sees the link's other fields. */
static void set_link_state(struct worker *worker, enum link_state state)
{
    atomic_store_explicit(&link_shared(worker)->state, state, memory_order_release);
}

bool link_writable(const struct worker *worker)
{
    return link_state(worker) == LINK_SUBSCRIBING || link_state(worker) == LINK_UP ||
           worker->link->asking;
}

/* ---- Ends ---- */

/* Records a gap for this worker's clients, and for members of its topics on all workers. Other
 * workers see the number of failures grow before they see the link down. */
void link_note_gap(struct worker *worker)
{
    struct slot_link *slot_link = link_shared(worker);
    if (atomic_load_explicit(&slot_link->gap_since, memory_order_relaxed) == 0)
        atomic_store_explicit(&slot_link->gap_since, worker->now_ms, memory_order_relaxed);
    atomic_store_explicit(&slot_link->failed_at, worker->now_ms, memory_order_relaxed);
    /* Release: pairs with the acquire in gap.c, so that failed_at is seen. */
    atomic_fetch_add_explicit(&slot_link->failures, 1, memory_order_release);
    rings_tell_all(worker);
}

/* Release: pairs with the acquire in gap.c, so that the failure's effects are seen. */
static void note_link_healed(struct worker *worker)
{
    struct slot_link *slot_link = link_shared(worker);
    const uint32_t failures = atomic_load_explicit(&slot_link->failures, memory_order_relaxed);
    atomic_store_explicit(&slot_link->healed, failures, memory_order_release);
}

void link_close(struct worker *worker)
{
    struct slot_link *slot_link = link_shared(worker);
    const int fd = link_fd(worker);
    set_link_state(worker, LINK_DOWN);
    atomic_store_explicit(&slot_link->fd, 0, memory_order_release);
    if (fd > 0)
        close(fd);
    link_streams_forget(worker);
    atomic_store_explicit(&slot_link->gap_since, 0, memory_order_relaxed);
    atomic_store_explicit(&slot_link->receiving, 0, memory_order_relaxed);
    atomic_store_explicit(&slot_link->sending, 0, memory_order_relaxed);
}

/* Writes the address that a socket is connected to. */
static const char *link_peer_text(int fd, char *out, size_t size)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == -1)
        snprintf(out, size, "Redis"); /* the peer has reset the connection */
    else
        config_address_text((const struct sockaddr *)&peer, len, out, size);
    return out;
}

/* Reports `why`, with the address of Redis if there is a connection. */
static void report_link_failure(struct worker *worker, int fd, const char *why, uint32_t delay)
{
    char text[TROUBLE_TEXT_MAX], peer[160];
    if (fd > 0)
        snprintf(text, sizeof(text), "%s: %s", link_peer_text(fd, peer, sizeof(peer)), why);
    else
        snprintf(text, sizeof(text), "%s", why);
    redis_trouble_tell(worker, REDIS_PUSHES, text, delay);
}

void link_fail(struct worker *worker, const char *why)
{
    struct link *link = worker->link;
    struct slot_link *slot_link = link_shared(worker);
    const enum link_state state = link_state(worker);
    const int fd = link_fd(worker);
    redis_connect_cancel(link->connect);
    redis_login_cancel(link->login);
    link_streams_end(worker);
    if (state == LINK_UP || state == LINK_SUBSCRIBING)
        link_note_gap(worker);
    KILLPOINT(LINK_FAILED);
    set_link_state(worker, LINK_DOWN);
    KILLPOINT(LINK_DOWN);
    atomic_store_explicit(&slot_link->fd, 0, memory_order_release);
    KILLPOINT(LINK_FORGOTTEN);
    const uint32_t delay = backoff_next(&link->retry_ms, RETRY_LAST_MS);
    const struct timeval wait = backoff_timeval(delay);
    report_link_failure(worker, fd, why, delay);
    if (fd > 0)
        close(fd);
    KILLPOINT(LINK_CLOSED);
    link_streams_forget(worker);
    event_add(link->retry, &wait);
}

/* ---- Connecting ---- */

/* Moves a new socket from the slot's notes to the link. The note goes first: a descriptor in both
 * would be closed twice after a death. */
static void adopt_link_socket(struct worker *worker, int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    descriptors_forget(worker, fd);
    KILLPOINT(LINK_SOCKET);
    link_streams_forget(worker); /* a worker may have died between a connection's end and this */
    link_shared(worker)->address = redis_address_hash(worker);
    atomic_store_explicit(&link_shared(worker)->fd, fd, memory_order_release);
    KILLPOINT(LINK_NOTED);
    getpeername(fd, (struct sockaddr *)&peer, &len);
    worker->link->is_unix = peer.ss_family == AF_UNIX;
    stats_add(&worker->stats->link_connects, 1);
}

/* Requests all subscriptions in one go. */
static void link_on_logged_in(struct worker *worker, int fd, const char *text)
{
    struct link *link = worker->link;
    if (fd == -1) {
        link_fail(worker, text);
        return;
    }
    adopt_link_socket(worker, fd);
    link_streams_begin(worker, fd);
    link->heard_ms = link->moved_ms = worker->now_ms;
    KILLPOINT(LINK_CONNECTED);
    link->asking = true;
    subscriptions_all(worker);
    link->asking = false;
    /* Last: a successor takes over only a link whose commands are all in the stream. */
    set_link_state(worker, LINK_SUBSCRIBING);
}

static void link_on_connected(struct worker *worker, int fd, const char *text)
{
    if (fd == -1)
        link_fail(worker, text);
    else
        redis_login_begin(worker->link->login, fd, text);
}

static void begin_connecting(struct worker *worker)
{
    set_link_state(worker, LINK_CONNECTING);
    redis_connect_begin(worker->link->connect, &worker->config->redis_at);
}

static void link_on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    begin_connecting(arg);
}

void link_notice_others(struct worker *worker)
{
    struct link *link = worker->link;
    const uint64_t before = link->others_up;
    link->others_up = 0;
    for (uint32_t i = 0; i < worker->workers; i++)
        if (i != worker->id && atomic_load_explicit(&worker->segment->slot[i].link.state,
                                                    memory_order_acquire) == LINK_UP)
            link->others_up |= UINT64_C(1) << i;
    if (link_state(worker) != LINK_DOWN || !(link->others_up & ~before))
        return;
    event_del(link->retry);
    begin_connecting(worker);
}

void link_confirmed(struct worker *worker)
{
    if (link_state(worker) != LINK_SUBSCRIBING)
        return;
    worker->link->retry_ms = RETRY_FIRST_MS;
    note_link_healed(worker);
    set_link_state(worker, LINK_UP);
    KILLPOINT(LINK_UP);
    rings_tell_all(worker);
    node_probe(worker);
    redis_trouble_over(worker, REDIS_PUSHES);
    char peer[160];
    link_peer_text(link_fd(worker), peer, sizeof(peer));
    log_info("redis_link_up", "redis=%s connects=%llu", log_quote(peer, strlen(peer)),
             (unsigned long long)atomic_load(&worker->stats->link_connects));
}

/* ---- Time ---- */

void link_tick(struct worker *worker)
{
    const struct link *link = worker->link;
    const enum link_state state = link_state(worker);
    if (!link_writable(worker) || move_holds_link(worker))
        return; /* redis_connect.c and redis_login.c have time limits of their own */
    subscriptions_again(worker);
    if (state == LINK_SUBSCRIBING &&
        worker_waited_ms(worker, link->moved_ms) > SILENCE_TIMEOUT_MS) {
        link_fail(worker, "Redis does not answer");
    } else if (state == LINK_UP && worker_waited_ms(worker, link->heard_ms) > SILENCE_TIMEOUT_MS) {
        if (atomic_load_explicit(&link_shared(worker)->gap_since, memory_order_relaxed) == 0)
            atomic_store_explicit(&link_shared(worker)->gap_since, link->heard_ms,
                                  memory_order_relaxed);
        link_fail(worker, "Redis has gone silent");
    } else if (state == LINK_UP && worker_waited_ms(worker, link->heard_ms) > SILENCE_MS) {
        subscriptions_fence(worker);
    }
}

/* ---- After a death ---- */

static bool take_over_socket(struct worker *worker, int fd)
{
    const struct slot_link *slot_link = link_shared(worker);
    int domain = 0;
    socklen_t len = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == -1)
        return false;
    worker->link->is_unix = domain == AF_UNIX;
    /* UP but not healed: the worker died in link_fail. */
    if (link_state(worker) == LINK_UP &&
        atomic_load(&slot_link->failures) != atomic_load(&slot_link->healed))
        return false;
    return subscriptions_taken_up(worker) && link_streams_resume(worker, fd);
}

/* Takes over the slot's connection, or makes a new one. */
static void resume_or_connect(struct worker *worker)
{
    const int fd = link_fd(worker);
    if (fd <= 0)
        begin_connecting(worker);
    else if (link_shared(worker)->address != redis_address_hash(worker))
        link_fail(worker, "another Redis is configured");
    else if (!link_writable(worker))
        link_fail(worker, "the worker died while connecting");
    else if (!take_over_socket(worker, fd))
        link_fail(worker, "the connection failed, or bytes were lost, when a worker died");
}

int link_open(struct worker *worker)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return -1;
    worker->link = link;
    link->connect = redis_connect_new(worker, link_on_connected);
    link->login = redis_login_new(worker, false, link_on_logged_in);
    link->retry = event_new(worker->base, -1, 0, link_on_retry, worker);
    link->retry_ms = RETRY_FIRST_MS;
    link->heard_ms = link->moved_ms = worker->now_ms;
    if (!link->connect || !link->login || !link->retry || link_streams_open(worker) == -1)
        return -1;
    resume_or_connect(worker);
    return 0;
}
