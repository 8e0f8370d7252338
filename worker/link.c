/*
 * See link.h. Reading and routing are two steps: the socket's event moves bytes into the input
 * stream, the end of the turn routes them. Where a ring is full the routing stops, the stream
 * fills, and the socket is no longer read: Redis feels the back-pressure, and nothing is dropped.
 */
#include "worker/link.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "proto/resp.h"
#include "worker/backoff.h"
#include "worker/kernel.h"
#include "worker/move.h"
#include "worker/node.h"
#include "worker/outbox.h"
#include "worker/poison.h"
#include "worker/resolve.h"
#include "worker/rings.h"
#include "worker/route.h"
#include "worker/subscribe.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    READ_MAX = 256 * 1024,      /* bytes of one recv(2) */
    RETRY_FIRST_MS = 50,        /* the first delay before another connect */
    RETRY_LAST_MS = 5000,       /* the longest */
    LOGIN_TIMEOUT_MS = 5000,    /* to connect and log in */
    SILENCE_MS = 10000,         /* then Redis is asked for a sign of life */
    SILENCE_TIMEOUT_MS = 15000, /* then the link counts as dead */
};

struct link {
    struct event *readable, *writable, *retry;
    uint8_t *in, *out; /* the streams' memory, mapped twice in a row */
    uint32_t in_size, out_size;
    uint8_t *waiting; /* commands that the out stream had no room for */
    size_t waiting_len, waiting_size;
    uint64_t began_ms; /* when this connect began */
    uint64_t heard_ms; /* when bytes last came */
    uint32_t retry_ms;
    uint64_t others_up; /* workers whose link was up at the last look: one bit each */
    bool asking;        /* a new connection: everything is being asked for */
    bool blocked;       /* a ring was full: the socket is not read */
    bool is_unix;
};

static struct slot_link *shared(const struct worker *worker)
{
    return &worker->slot->link;
}

/* Tells one Redis from another: a reload may have changed the URL. */
static uint64_t address_of(const struct worker *worker)
{
    const char *url = worker->config->redis;
    return users_hash(worker->segment->header->hash_seed, url, strlen(url));
}

static enum link_state state_of(const struct worker *worker)
{
    return (enum link_state)atomic_load_explicit(&shared(worker)->state, memory_order_relaxed);
}

/* Release: another worker that sees UP (worker_ready) sees a link that is. */
static void set_state(struct worker *worker, enum link_state state)
{
    atomic_store_explicit(&shared(worker)->state, state, memory_order_release);
}

static int fd_of(const struct worker *worker)
{
    return atomic_load_explicit(&shared(worker)->fd, memory_order_relaxed);
}

/* Commands wait in private memory, behind those in the stream. */
static void set_behind(struct worker *worker, bool behind)
{
    atomic_store_explicit(&shared(worker)->behind, behind, memory_order_release);
}

/* ---- Ends and new beginnings ---- */

static void events_free(struct link *link)
{
    if (link->readable)
        event_free(link->readable);
    if (link->writable)
        event_free(link->writable);
    link->readable = link->writable = NULL;
}

/* Pushes may be missing from now on: for this worker's clients, and for members of this worker's
 * topics everywhere. Others see the number grow before they see the link down. */
void link_note_gap(struct worker *worker)
{
    struct slot_link *slot_link = shared(worker);
    if (atomic_load_explicit(&slot_link->gap_since, memory_order_relaxed) == 0)
        atomic_store_explicit(&slot_link->gap_since, worker->now_ms, memory_order_relaxed);
    atomic_store_explicit(&slot_link->failed_at, worker->now_ms, memory_order_relaxed);
    /* Release: pairs with the acquire in gap.c, so that failed_at is seen. */
    atomic_fetch_add_explicit(&slot_link->failures, 1, memory_order_release);
    rings_tell_all(worker);
}

/* Release: pairs with the acquire in gap.c, so that what the failure has changed is seen. */
static void note_healed(struct worker *worker)
{
    struct slot_link *slot_link = shared(worker);
    const uint32_t failures = atomic_load_explicit(&slot_link->failures, memory_order_relaxed);
    atomic_store_explicit(&slot_link->healed, failures, memory_order_release);
}

/* Bytes of a connection that is gone. */
static void forget_bytes(struct worker *worker)
{
    struct slot_link *slot_link = shared(worker);
    stream_begin(&slot_link->in);
    stream_begin(&slot_link->out);
    slot_link->skip_to = 0;
    set_behind(worker, false);
}

void link_close(struct worker *worker)
{
    struct slot_link *slot_link = shared(worker);
    const int fd = fd_of(worker);
    set_state(worker, LINK_DOWN);
    atomic_store_explicit(&slot_link->fd, 0, memory_order_release);
    if (fd > 0)
        close(fd);
    forget_bytes(worker);
    atomic_store_explicit(&slot_link->gap_since, 0, memory_order_relaxed);
    atomic_store_explicit(&slot_link->receiving, 0, memory_order_relaxed);
    atomic_store_explicit(&slot_link->sending, 0, memory_order_relaxed);
}

void link_fail(struct worker *worker, const char *why)
{
    struct link *link = worker->link;
    struct slot_link *slot_link = shared(worker);
    const enum link_state state = state_of(worker);
    const int fd = fd_of(worker);
    events_free(link);
    if (state == LINK_UP || state == LINK_SUBSCRIBING)
        link_note_gap(worker);
    KILLPOINT(LINK_FAILED);
    set_state(worker, LINK_DOWN);
    KILLPOINT(LINK_DOWN);
    atomic_store_explicit(&slot_link->fd, 0, memory_order_release);
    KILLPOINT(LINK_FORGOTTEN);
    if (fd > 0)
        close(fd);
    KILLPOINT(LINK_CLOSED);
    forget_bytes(worker);
    link->waiting_len = 0;
    link->blocked = false;
    const uint32_t delay = backoff_next(&link->retry_ms, RETRY_LAST_MS);
    const struct timeval wait = backoff_timeval(delay);
    log_warn("redis_link_down", "why=%s retry_ms=%u", log_quote(why, strlen(why)), delay);
    event_add(link->retry, &wait);
}

/* ---- Sending ---- */

bool link_writable(const struct worker *worker)
{
    return state_of(worker) == LINK_SUBSCRIBING || state_of(worker) == LINK_UP ||
           worker->link->asking;
}

bool link_congested(const struct worker *worker)
{
    const struct link *link = worker->link;
    return link->waiting_len > 0 || stream_level(&shared(worker)->out) > link->out_size / 2;
}

static size_t put(struct worker *worker, const uint8_t *bytes, size_t len)
{
    const struct link *link = worker->link;
    struct stream *out = &shared(worker)->out;
    const size_t room = link->out_size - stream_level(out);
    if (len > room)
        len = room;
    memcpy(link->out + (stream_end(out) & (link->out_size - 1)), bytes, len);
    stream_put(out, len);
    return len;
}

static void put_behind(struct link *link, const uint8_t *bytes, size_t len)
{
    if (link->waiting_len + len > link->waiting_size) {
        link->waiting_size = 2 * (link->waiting_len + len);
        link->waiting = realloc(link->waiting, link->waiting_size);
        if (!link->waiting)
            abort();
    }
    memcpy(link->waiting + link->waiting_len, bytes, len);
    link->waiting_len += len;
}

void link_write(struct worker *worker, const void *bytes, size_t len)
{
    struct link *link = worker->link;
    if (link->waiting_len == 0 && len <= link->out_size - stream_level(&shared(worker)->out)) {
        put(worker, bytes, len);
        return;
    }
    /* First: from here on the stream alone is not what was to be sent. */
    set_behind(worker, true);
    put_behind(link, bytes, len);
}

/* Moves waiting bytes into the stream as far as they fit. */
static void refill(struct worker *worker)
{
    struct link *link = worker->link;
    if (!link->waiting)
        return;
    const size_t done = put(worker, link->waiting, link->waiting_len);
    link->waiting_len -= done;
    memmove(link->waiting, link->waiting + done, link->waiting_len);
    if (link->waiting_len > 0)
        return;
    set_behind(worker, false);
    free(link->waiting);
    link->waiting = NULL;
    link->waiting_size = 0;
}

/* One send(2); returns the bytes taken, 0 when the socket is full, -1 when the link has failed. */
static ssize_t send_some(struct worker *worker)
{
    const struct link *link = worker->link;
    struct slot_link *slot_link = shared(worker);
    const uint8_t *at = link->out + (stream_start(&slot_link->out) & (link->out_size - 1));
    atomic_store_explicit(&slot_link->sending, 1, memory_order_release);
    KILLPOINT(LINK_SENDING);
    const ssize_t n =
        send(fd_of(worker), at, stream_level(&slot_link->out), MSG_NOSIGNAL | MSG_DONTWAIT);
    KILLPOINT(LINK_SENT);
    if (n > 0)
        stream_done(&slot_link->out, (uint64_t)n);
    atomic_store_explicit(&slot_link->sending, 0, memory_order_release);
    if (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        link_fail(worker, strerror(errno));
        return -1;
    }
    return n > 0 ? n : 0;
}

void link_turn(struct worker *worker)
{
    struct link *link = worker->link;
    struct stream *out = &shared(worker)->out;
    if (!link_writable(worker) && state_of(worker) != LINK_CONNECTING)
        return;
    if (!link->readable)
        return; /* not connected yet */
    while (stream_level(out) > 0 || link->waiting_len > 0) {
        refill(worker);
        const ssize_t n = send_some(worker);
        if (n < 0)
            return;
        if (n == 0) {
            event_add(link->writable, NULL);
            return;
        }
    }
    stream_rewind(out, link->out_size);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg; /* the end of the turn sends */
}

/* ---- Receiving ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    struct link *link = worker->link;
    struct slot_link *slot_link = shared(worker);
    (void)what;
    const uint32_t room = link->in_size - stream_level(&slot_link->in);
    if (room == 0)
        return; /* link_route stops the event when it cannot go on */
    uint8_t *at = link->in + (stream_end(&slot_link->in) & (link->in_size - 1));
    atomic_store_explicit(&slot_link->receiving, 1, memory_order_release);
    const ssize_t n = recv(fd, at, room < READ_MAX ? room : READ_MAX, MSG_DONTWAIT);
    KILLPOINT(LINK_RECEIVED);
    if (n > 0)
        stream_put(&slot_link->in, (uint64_t)n);
    KILLPOINT(LINK_COUNTED);
    atomic_store_explicit(&slot_link->receiving, 0, memory_order_release);
    stats_add(&worker->stats->link_recvs, 1);
    if (n > 0)
        link->heard_ms = worker->now_ms;
    else if (n == 0)
        link_fail(worker, "Redis closed the connection");
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        link_fail(worker, strerror(errno));
}

/* How many of the bytes from `position` on belong to an oversized reply. */
static uint32_t to_skip(const struct slot_link *link, uint64_t position, uint32_t available)
{
    if (link->skip_to <= position)
        return 0;
    const uint64_t left = link->skip_to - position;
    return left < available ? (uint32_t)left : available;
}

/* A reply that the stream could never hold whole: it is thrown away as it comes. */
static bool too_large(struct worker *worker, uint64_t position, size_t need)
{
    if (need <= worker->link->in_size)
        return false;
    shared(worker)->skip_to = position + need;
    stats_add(&worker->stats->pushes_received, 1);
    stats_add(&worker->stats->push_too_large, 1);
    log_warn("push_malformed", "reason=too_large bytes=%zu", need);
    return true;
}

/* Routes one reply out of `available` bytes. Returns the bytes that are done, 0 to stop here. */
static uint32_t route_one(struct worker *worker, const uint8_t *at, uint32_t available,
                          uint64_t position)
{
    struct slot_words *words = &worker->slot->words;
    struct resp_reply reply;
    size_t need = 0;
    const uint32_t skip = to_skip(shared(worker), position, available);
    if (skip > 0)
        return skip;
    words_push(words, 0, position);
    words_doing(words, DOING_PARSING);
    if (poison_is_unread(worker, position)) {
        link_fail(worker, "what Redis sent has killed two workers");
        return 0;
    }
    const ssize_t n = resp_parse(&reply, (const char *)at, available, &need);
    if (n == 0)
        return too_large(worker, position, need) ? available : 0;
    if (n < 0) {
        link_fail(worker, "Redis sent what is no RESP");
        return 0;
    }
    words_doing(words, DOING_ROUTING);
    if (poison_is(worker, 0, position))
        poison_skipped(worker, 0, position, at, (size_t)n);
    else if (!route_reply(worker, &reply, position + (uint64_t)n)) {
        worker->link->blocked = true;
        return 0;
    }
    return (uint32_t)n;
}

/* Routes what is there, at most so many replies; sends and commits it. Returns whether there may be
 * more. */
static bool route_some(struct worker *worker, uint32_t most)
{
    const struct link *link = worker->link;
    struct stream *in = &shared(worker)->in;
    const uint64_t start = stream_start(in);
    uint32_t done = 0, n = 0;
    worker_in_hand(worker, 1 + LINK_SOURCE);
    do {
        const uint8_t *at = link->in + ((start + done) & (link->in_size - 1));
        n = route_one(worker, at, stream_level(in) - done, start + done);
        done += n;
    } while (n > 0 && --most > 0 && fd_of(worker) > 0 && done < stream_level(in));
    KILLPOINT(LINK_ROUTED);
    outbox_flush(worker);
    if (fd_of(worker) <= 0)
        return false; /* the link has failed, and the stream was begun anew */
    KILLPOINT(LINK_FLUSHED);
    rings_commit_out(worker);
    KILLPOINT(LINK_SHARED);
    stream_done(in, done);
    KILLPOINT(LINK_COMMITTED);
    worker_in_hand(worker, 0);
    return n > 0 && stream_level(in) > 0;
}

/* Nothing is routed now, so nothing is read either. */
static void rest(struct link *link)
{
    if (link->readable)
        event_del(link->readable);
    link->blocked = true;
}

void link_route(struct worker *worker)
{
    struct link *link = worker->link;
    struct stream *in = &shared(worker)->in;
    const bool was_blocked = link->blocked;
    if (move_holds_link(worker)) {
        rest(link);
        return;
    }
    if (stream_level(in) == 0 && !was_blocked)
        return;
    link->blocked = false;
    while (stream_level(in) > 0 && route_some(worker, worker->careful ? 1 : UINT32_MAX))
        ;
    words_push(&worker->slot->words, 0, 0);
    if (fd_of(worker) <= 0)
        return;
    if (shared(worker)->skip_to <= stream_start(in))
        stream_rewind(in, link->in_size);
    if (link->blocked && !was_blocked) {
        stats_add(&worker->stats->ring_full, !move_met_fence(worker));
        event_del(link->readable);
    } else if (!link->blocked && was_blocked && link->readable) {
        event_add(link->readable, NULL);
    }
}

/* ---- Connecting ---- */

static void write_command(struct worker *worker, size_t argc, const char *const *args)
{
    char command[1024];
    size_t lens[3];
    for (size_t i = 0; i < argc; i++)
        lens[i] = strlen(args[i]);
    if (resp_command_size(argc, lens) > sizeof(command)) {
        log_error("redis_login", "why=\"user or password too long\"");
        return;
    }
    link_write(worker, command, resp_command(command, argc, args, lens));
}

/* The login, and everything that is to be subscribed, in one go: Redis answers in order. */
static void log_in(struct worker *worker)
{
    const struct redis_address *address = &worker->config->redis_at;
    char name[64];
    snprintf(name, sizeof(name), "wspushd-%08x-%u", worker->segment->header->boot_id, worker->id);
    if (address->password && address->user)
        write_command(worker, 3, (const char *[]){"AUTH", address->user, address->password});
    else if (address->password)
        write_command(worker, 2, (const char *[]){"AUTH", address->password});
    write_command(worker, 3, (const char *[]){"CLIENT", "SETNAME", name});
}

static void events_new(struct worker *worker, int fd)
{
    struct link *link = worker->link;
    link->readable = event_new(worker->base, fd, EV_READ | EV_PERSIST, on_readable, worker);
    link->writable = event_new(worker->base, fd, EV_WRITE, on_writable, worker);
    if (!link->readable || !link->writable)
        abort();
    event_add(link->readable, NULL);
}

static void connected(struct worker *worker, int fd)
{
    struct link *link = worker->link;
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        link_fail(worker, strerror(error));
        return;
    }
    if (!link->is_unix) {
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        shared(worker)->sent_base = kernel_sent(fd);
    }
    events_free(link);
    events_new(worker, fd);
    link->heard_ms = worker->now_ms;
    log_in(worker);
    KILLPOINT(LINK_CONNECTED);
    link->asking = true;
    subscriptions_all(worker);
    link->asking = false;
    /* Last: a successor takes a link up whose commands are all in the stream, and no other. */
    set_state(worker, LINK_SUBSCRIBING);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    connected(arg, fd);
}

static void connect_to(struct worker *worker, const struct sockaddr *addr, socklen_t len,
                       const char *why)
{
    struct link *link = worker->link;
    const int fd =
        addr ? socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd == -1) {
        link_fail(worker, addr ? strerror(errno) : why);
        return;
    }
    KILLPOINT(LINK_SOCKET);
    forget_bytes(worker); /* a worker may have died between a connection's end and this */
    shared(worker)->address = address_of(worker);
    atomic_store_explicit(&shared(worker)->fd, fd, memory_order_release);
    KILLPOINT(LINK_NOTED);
    link->is_unix = addr->sa_family == AF_UNIX;
    stats_add(&worker->stats->link_connects, 1);
    if (connect(fd, addr, len) == 0) {
        connected(worker, fd);
    } else if (errno == EINPROGRESS) {
        link->writable = event_new(worker->base, fd, EV_WRITE, on_connected, worker);
        event_add(link->writable, NULL);
    } else {
        link_fail(worker, strerror(errno));
    }
}

static void begin(struct worker *worker)
{
    set_state(worker, LINK_CONNECTING);
    worker->link->began_ms = worker->now_ms;
    resolve(worker, &worker->config->redis_at, connect_to);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    begin(arg);
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
    if (state_of(worker) != LINK_DOWN || !(link->others_up & ~before))
        return;
    event_del(link->retry);
    begin(worker);
}

void link_confirmed(struct worker *worker)
{
    if (state_of(worker) != LINK_SUBSCRIBING)
        return;
    worker->link->retry_ms = RETRY_FIRST_MS;
    note_healed(worker);
    set_state(worker, LINK_UP);
    KILLPOINT(LINK_UP);
    rings_tell_all(worker);
    node_probe(worker);
    log_info("redis_link_up", "connects=%llu",
             (unsigned long long)atomic_load(&worker->stats->link_connects));
}

/* ---- Time ---- */

void link_tick(struct worker *worker)
{
    const struct link *link = worker->link;
    const enum link_state state = state_of(worker);
    if (state == LINK_DOWN || move_holds_link(worker))
        return;
    if (state != LINK_UP && worker->now_ms - link->began_ms > LOGIN_TIMEOUT_MS) {
        link_fail(worker, "Redis does not answer");
    } else if (state == LINK_UP && worker->now_ms - link->heard_ms > SILENCE_TIMEOUT_MS) {
        if (atomic_load_explicit(&shared(worker)->gap_since, memory_order_relaxed) == 0)
            atomic_store_explicit(&shared(worker)->gap_since, link->heard_ms, memory_order_relaxed);
        link_fail(worker, "Redis has gone silent");
    } else if (state == LINK_UP && worker->now_ms - link->heard_ms > SILENCE_MS) {
        subscriptions_fence(worker);
    }
}

/* ---- After a death ---- */

static bool take_up(struct worker *worker, int fd)
{
    const struct link *link = worker->link;
    struct slot_link *slot_link = shared(worker);
    int domain = 0;
    socklen_t len = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == -1)
        return false;
    worker->link->is_unix = domain == AF_UNIX;
    /* UP and not healed: the worker died in link_fail. */
    if (atomic_load(&slot_link->behind) ||
        (state_of(worker) == LINK_UP &&
         atomic_load(&slot_link->failures) != atomic_load(&slot_link->healed)))
        return false;
    if (domain == AF_UNIX)
        return !atomic_load(&slot_link->receiving) && !atomic_load(&slot_link->sending);
    return stream_reconcile_in(&slot_link->in, kernel_received(fd), link->in_size) &&
           stream_reconcile_out(&slot_link->out, kernel_sent(fd) - slot_link->sent_base);
}

int link_open(struct worker *worker)
{
    const struct segment_shape *shape = &worker->segment->header->shape;
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return -1;
    worker->link = link;
    link->in_size = shape->link_in_size;
    link->out_size = shape->link_out_size;
    link->in = segment_mirror(worker->segment, segment_link_in_offset(worker->segment, worker->id),
                              link->in_size);
    link->out = segment_mirror(
        worker->segment, segment_link_out_offset(worker->segment, worker->id), link->out_size);
    link->retry = event_new(worker->base, -1, 0, on_retry, worker);
    link->retry_ms = RETRY_FIRST_MS;
    link->began_ms = link->heard_ms = worker->now_ms;
    if (!link->in || !link->out || !link->retry)
        return -1;
    const int fd = fd_of(worker);
    stream_recover(&shared(worker)->in);
    stream_recover(&shared(worker)->out);
    if (fd > 0 && shared(worker)->address != address_of(worker)) {
        link_fail(worker, "another Redis is configured");
    } else if (fd > 0 && link_writable(worker)) {
        if (take_up(worker, fd)) {
            events_new(worker, fd);
        } else {
            link_fail(worker, "it failed, or bytes were lost, with a worker that died");
        }
    } else if (fd > 0) {
        link_fail(worker, "the worker died while connecting");
    } else {
        begin(worker);
    }
    return 0;
}
