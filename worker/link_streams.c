/*
 * See link_streams.h. Reading and routing are two steps: the socket's event moves bytes into the
 * input stream, and the end of the turn routes them. When a ring is full, routing stops, the stream
 * fills, and the socket is no longer read: Redis feels the back-pressure, and nothing is dropped.
 *
 * The state of the connection is not changed here: errors go to link_fail.
 */
#include "worker/link_streams.h"

#include "common/killpoint.h"
#include "proto/resp.h"
#include "worker/batch.h"
#include "worker/deliver.h"
#include "worker/kernel.h"
#include "worker/latency.h"
#include "worker/link.h"
#include "worker/link_private.h"
#include "worker/move.h"
#include "worker/outbox.h"
#include "worker/poison.h"
#include "worker/rings.h"
#include "worker/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { READ_MAX = 256 * 1024 /* bytes of one recv(2) */ };

/* Records whether commands wait in private memory, behind those in the stream. */
static void set_commands_behind(struct worker *worker, bool behind)
{
    atomic_store_explicit(&link_shared(worker)->behind, behind, memory_order_release);
}

/* ---- Sending ---- */

bool link_congested(const struct worker *worker)
{
    const struct link *link = worker->link;
    return link->waiting_len > 0 || stream_level(&link_shared(worker)->out) > link->out_size / 2;
}

static size_t put_out_bytes(struct worker *worker, const uint8_t *bytes, size_t len)
{
    const struct link *link = worker->link;
    struct stream *out = &link_shared(worker)->out;
    const size_t room = link->out_size - stream_level(out);
    if (len > room)
        len = room;
    memcpy(link->out + (stream_end(out) & (link->out_size - 1)), bytes, len);
    stream_put(out, len);
    return len;
}

static void put_waiting_bytes(struct link *link, const uint8_t *bytes, size_t len)
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
    if (link->waiting_len == 0 && len <= link->out_size - stream_level(&link_shared(worker)->out)) {
        put_out_bytes(worker, bytes, len);
        return;
    }
    /* First: from here on the stream alone no longer has everything to be sent. */
    set_commands_behind(worker, true);
    put_waiting_bytes(link, bytes, len);
}

/* Moves as many waiting bytes into the stream as fit. */
static void refill_out_stream(struct worker *worker)
{
    struct link *link = worker->link;
    if (!link->waiting)
        return;
    const size_t done = put_out_bytes(worker, link->waiting, link->waiting_len);
    link->waiting_len -= done;
    memmove(link->waiting, link->waiting + done, link->waiting_len);
    if (link->waiting_len > 0)
        return;
    set_commands_behind(worker, false);
    free(link->waiting);
    link->waiting = NULL;
    link->waiting_size = 0;
}

/* Calls send(2) once. Returns the bytes taken, 0 if the socket is full, or -1 if the link has
 * failed. */
static ssize_t send_out_bytes(struct worker *worker)
{
    const struct link *link = worker->link;
    struct slot_link *slot_link = link_shared(worker);
    const uint8_t *at = link->out + (stream_start(&slot_link->out) & (link->out_size - 1));
    atomic_store_explicit(&slot_link->sending, 1, memory_order_release);
    KILLPOINT(LINK_SENDING);
    const ssize_t n =
        send(link_fd(worker), at, stream_level(&slot_link->out), MSG_NOSIGNAL | MSG_DONTWAIT);
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
    struct stream *out = &link_shared(worker)->out;
    if (!link_writable(worker) && link_state(worker) != LINK_CONNECTING)
        return;
    if (!link->readable)
        return; /* not connected yet */
    while (stream_level(out) > 0 || link->waiting_len > 0) {
        refill_out_stream(worker);
        const ssize_t n = send_out_bytes(worker);
        if (n < 0)
            return;
        if (n == 0) {
            event_add(link->writable, NULL);
            return;
        }
        link->moved_ms = worker->now_ms;
    }
    stream_rewind(out, link->out_size);
}

static void link_on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg; /* the end of the turn sends */
}

/* ---- Receiving ---- */

static void link_on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    struct link *link = worker->link;
    struct slot_link *slot_link = link_shared(worker);
    (void)what;
    const uint32_t room = link->in_size - stream_level(&slot_link->in);
    if (room == 0)
        return; /* link_route stops the event when it cannot go on */
    const uint64_t from = stream_end(&slot_link->in);
    const bool all_routed = link->hungry || stream_level(&slot_link->in) == 0;
    uint8_t *at = link->in + (from & (link->in_size - 1));
    atomic_store_explicit(&slot_link->receiving, 1, memory_order_release);
    const ssize_t n = recv(fd, at, room < READ_MAX ? room : READ_MAX, MSG_DONTWAIT);
    KILLPOINT(LINK_RECEIVED);
    if (n > 0)
        stream_put(&slot_link->in, (uint64_t)n);
    KILLPOINT(LINK_COUNTED);
    atomic_store_explicit(&slot_link->receiving, 0, memory_order_release);
    stats_add(&worker->stats->link_recvs, 1);
    if (n > 0) {
        worker_note_time(worker);
        link->heard_ms = link->moved_ms = worker->now_ms;
        link->hungry = false;
        latency_received(worker, from, all_routed);
    } else if (n == 0)
        link_fail(worker, "Redis closed the connection");
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        link_fail(worker, strerror(errno));
}

/* Returns how many of the bytes from `position` on belong to an oversized reply. */
static uint32_t bytes_to_skip(const struct slot_link *link, uint64_t position, uint32_t available)
{
    if (link->skip_to <= position)
        return 0;
    const uint64_t left = link->skip_to - position;
    return left < available ? (uint32_t)left : available;
}

/* Arranges to discard a reply that the stream could never hold whole, as its bytes arrive. Returns
 * false if the reply fits. */
static bool skip_too_large_reply(struct worker *worker, uint64_t position, size_t need)
{
    if (need <= worker->link->in_size)
        return false;
    link_shared(worker)->skip_to = position + need;
    deliver_too_large(worker, "", 0,
                      need); /* the channel is not parsed: it may not have arrived yet */
    return true;
}

/* Routes a reply that ends at `end`. Returns false if it cannot be routed now. */
static bool route_whole_reply(struct worker *worker, const struct resp_reply *reply, uint64_t end)
{
    batch_reach(worker, end);
    return route_reply(worker, reply, end);
}

/* Routes one reply out of `available` bytes. Returns the bytes handled, or 0 to stop here. */
static uint32_t route_one_reply(struct worker *worker, const uint8_t *at, uint32_t available,
                                uint64_t position)
{
    struct slot_words *words = &worker->slot->words;
    struct resp_reply reply;
    size_t need = 0;
    const uint32_t skip = bytes_to_skip(link_shared(worker), position, available);
    if (skip > 0)
        return skip;
    words_push(words, 0, position);
    words_doing(words, DOING_PARSING);
    if (poison_is_unread(worker, position)) {
        link_fail(worker, "input from Redis has killed two workers");
        return 0;
    }
    const ssize_t n = resp_parse(&reply, (const char *)at, available, &need);
    if (n == 0) {
        const bool skip_all = skip_too_large_reply(worker, position, need);
        worker->link->hungry = !skip_all;
        return skip_all ? available : 0;
    }
    if (n < 0) {
        link_fail(worker, "malformed reply from Redis");
        return 0;
    }
    words_doing(words, DOING_ROUTING);
    if (poison_is(worker, 0, position) && poison_skips(worker, 0, position, at, (size_t)n))
        return (uint32_t)n;
    if (!route_whole_reply(worker, &reply, position + (uint64_t)n)) {
        worker->link->blocked = true;
        return 0;
    }
    return (uint32_t)n;
}

/* Commits a batch. If the link has failed since, the stream has restarted behind `end`. */
static void commit_link_batch(struct worker *worker, uint32_t source, uint64_t end)
{
    struct stream *in = &link_shared(worker)->in;
    (void)source;
    latency_sent(worker, worker->link->delivered);
    KILLPOINT(LINK_FLUSHED);
    rings_commit_out(worker);
    KILLPOINT(LINK_SHARED);
    if (end > stream_start(in))
        stream_done(in, end - stream_start(in));
    KILLPOINT(LINK_COMMITTED);
    if (link_shared(worker)->skip_to <= stream_start(in))
        stream_rewind(in, worker->link->in_size);
}

/* Routes at most `most` replies as one batch. Returns true if it has been sent. */
static bool route_link_batch(struct worker *worker, uint32_t most)
{
    struct link *link = worker->link;
    const struct stream *in = &link_shared(worker)->in;
    const uint64_t start = stream_start(in);
    uint32_t done = 0, n = 0;
    link->delivered = latency_begin(worker, start);
    batch_begin(worker, LINK_SOURCE, start);
    do {
        const uint8_t *at = link->in + ((start + done) & (link->in_size - 1));
        n = route_one_reply(worker, at, stream_level(in) - done, start + done);
        done += n;
    } while (n > 0 && --most > 0 && link_fd(worker) > 0 && done < stream_level(in) &&
             !batch_is_full(worker));
    KILLPOINT(LINK_ROUTED);
    return batch_send(worker, LINK_SOURCE, start + done, commit_link_batch);
}

/* Stops reading while nothing is routed. */
static void pause_link_input(struct link *link)
{
    if (link->readable)
        event_del(link->readable);
    link->blocked = true;
}

/* Reads the socket only while routed pushes have room. */
static void link_watch_input(struct worker *worker, bool was_blocked)
{
    struct link *link = worker->link;
    if (link->blocked && !was_blocked && link->readable) {
        stats_add(&worker->stats->ring_full, !move_met_fence(worker));
        event_del(link->readable);
    } else if (!link->blocked && was_blocked && link->readable) {
        event_add(link->readable, NULL);
    }
}

void link_route(struct worker *worker)
{
    struct link *link = worker->link;
    struct stream *in = &link_shared(worker)->in;
    const bool was_blocked = link->blocked;
    if (move_holds_link(worker)) {
        pause_link_input(link);
        return;
    }
    if (stream_level(in) == 0 && !was_blocked)
        return;
    link->blocked = false;
    if (stream_level(in) > 0 && !route_link_batch(worker, UINT32_MAX)) {
        link_watch_input(worker, was_blocked);
        return;
    }
    words_push(&worker->slot->words, 0, 0);
    if (link_fd(worker) <= 0)
        return;
    link_watch_input(worker, was_blocked);
}

void link_resume(struct worker *worker, uint64_t end)
{
    const struct stream *in = &link_shared(worker)->in;
    uint64_t start = 0;
    while (link_fd(worker) > 0 && stream_level(in) > 0 && stream_start(in) < end &&
           stream_start(in) != start) {
        start = stream_start(in);
        batch_turn(worker);
        route_link_batch(worker, worker->careful ? 1 : UINT32_MAX);
        batch_finish(worker);
    }
    words_push(&worker->slot->words, 0, 0);
    if (link_fd(worker) > 0)
        link_watch_input(worker, false);
}

/* ---- Beginning and end ---- */

int link_streams_open(struct worker *worker)
{
    const struct segment *segment = worker->segment;
    const struct segment_shape *shape = &segment->header->shape;
    struct link *link = worker->link;
    link->in_size = shape->link_in_size;
    link->out_size = shape->link_out_size;
    link->in = segment_mirror(segment, segment_link_in_offset(segment, worker->id), link->in_size);
    link->out =
        segment_mirror(segment, segment_link_out_offset(segment, worker->id), link->out_size);
    if (!link->in || !link->out)
        return -1;
    stream_recover(&link_shared(worker)->in);
    stream_recover(&link_shared(worker)->out);
    return 0;
}

static void watch_link_socket(struct worker *worker, int fd)
{
    struct link *link = worker->link;
    link->readable = event_new(worker->base, fd, EV_READ | EV_PERSIST, link_on_readable, worker);
    link->writable = event_new(worker->base, fd, EV_WRITE, link_on_writable, worker);
    if (!link->readable || !link->writable)
        abort();
    event_add(link->readable, NULL);
}

void link_streams_begin(struct worker *worker, int fd)
{
    struct slot_link *slot_link = link_shared(worker);
    if (!worker->link->is_unix) {
        slot_link->sent_base = kernel_sent(fd);
        slot_link->received_base = kernel_received(fd);
    }
    watch_link_socket(worker, fd);
}

/* Completes the streams by the kernel's byte counts of a TCP socket, which include the bytes that a
 * predecessor had not recorded. A unix socket has no such counts, and is intact only if no call was
 * in progress. Returns false if bytes were lost. */
static bool reconcile_streams(const struct worker *worker, int fd)
{
    const struct link *link = worker->link;
    struct slot_link *slot_link = link_shared(worker);
    if (atomic_load(&slot_link->behind))
        return false;
    if (link->is_unix)
        return !atomic_load(&slot_link->receiving) && !atomic_load(&slot_link->sending);
    return stream_reconcile_in(&slot_link->in, kernel_received(fd) - slot_link->received_base,
                               link->in_size) &&
           stream_reconcile_out(&slot_link->out, kernel_sent(fd) - slot_link->sent_base);
}

bool link_streams_resume(struct worker *worker, int fd)
{
    if (!reconcile_streams(worker, fd))
        return false;
    watch_link_socket(worker, fd);
    return true;
}

void link_streams_end(struct worker *worker)
{
    struct link *link = worker->link;
    if (link->readable)
        event_free(link->readable);
    if (link->writable)
        event_free(link->writable);
    link->readable = link->writable = NULL;
    link->waiting_len = 0;
    link->blocked = false;
}

void link_streams_forget(struct worker *worker)
{
    struct slot_link *slot_link = link_shared(worker);
    stream_begin(&slot_link->in);
    stream_begin(&slot_link->out);
    slot_link->skip_to = 0;
    set_commands_behind(worker, false);
}
