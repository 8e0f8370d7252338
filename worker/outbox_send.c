/*
 * See outbox.h: the flush, and what the kernel did not take. The flush walks the targets by index,
 * because sending can end a connection, and ending one can give others something to send: targets
 * added meanwhile are reached by the same walk. It may be interrupted (batch.h): `next` is where it
 * goes on, and a target that was sent out of turn is empty by then.
 *
 * An early flush only makes room, in the middle of anything: a request may be half handled, and its
 * connection be the one that fails. So it sends, and puts into backlogs what the kernel does not
 * take. Whether a connection ends of that, is clean or to be watched for room, is settled by the
 * next flush at its place in the turn.
 */
#include "common/clock.h"
#include "common/fault.h"
#include "common/killpoint.h"
#include "worker/client.h"
#include "worker/hold.h"
#include "worker/outbox_private.h"
#include "worker/sending.h"
#include "worker/trace.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    PIECES_MAX = 64, /* of one sendmsg(2) */
#ifdef KILLPOINTS_BUILD
    SLICE_MS = 0, /* so that each slice has an end, at which a worker can be made to die */
    LOOK_EVERY = 4
#else
    SLICE_MS = 10,  /* of one outbox_flush_slice */
    LOOK_EVERY = 32 /* targets between two looks at the clock */
#endif
};

/* Sends up to PIECES_MAX pieces. Returns the bytes taken, 0 where the socket is full, -1 where
 * the connection is gone. */
static ssize_t send_pieces(struct worker *worker, int fd, struct iovec *piece, size_t count)
{
    struct msghdr msg = {.msg_iov = piece, .msg_iovlen = count};
    const ssize_t n = count == 1
                          ? send(fd, piece->iov_base, piece->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                          : sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    stats_add(&worker->stats->sends, 1);
    if (n == -1)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == EINTR ? 0
                                                                                             : -1;
    stats_add(&worker->stats->bytes_out, (uint64_t)n);
    worker->segment->sent[fd] += (uint32_t)n;
    return n;
}

/* Gathers pieces from item *i on, up to item `until`; frames side by side are one. *i is moved
 * behind them. */
static size_t gather(const struct outbox *outbox, uint32_t *i, uint32_t until,
                     struct iovec piece[PIECES_MAX], size_t *bytes)
{
    size_t count = 0;
    uint8_t *end = NULL;
    *bytes = 0;
    for (; *i != until; *i = item_at(outbox, *i)->next) {
        const struct frame *frame = frame_at(outbox, item_at(outbox, *i)->frame);
        uint8_t *at = outbox->arena + frame->offset;
        if (count > 0 && at == end)
            piece[count - 1].iov_len += frame->size;
        else if (count == PIECES_MAX)
            break;
        else
            piece[count++] = (struct iovec){.iov_base = at, .iov_len = frame->size};
        end = at + frame->size;
        *bytes += frame->size;
    }
    return count;
}

/* The frame's bytes where they outlive the turn. */
static struct chunk *chunk_of(const struct outbox *outbox, struct frame *frame)
{
    if (!frame->chunk) {
        frame->chunk = chunk_new(outbox->arena + frame->offset, frame->size);
        frame->chunk->expires_ms = frame->terms.expires_ms;
        frame->chunk->key = frame->terms.key;
    }
    return frame->chunk;
}

static void drop_expired(struct worker *worker, struct hold *hold)
{
    stats_add(&worker->stats->dropped_expired, hold_expire(hold, worker->now_ms));
}

/* Puts the frames from item i on into the backlog; `sent` bytes of the first are gone already. */
static void spill(struct worker *worker, struct hold *hold, uint32_t i, uint32_t sent)
{
    const struct outbox *outbox = worker->outbox;
    drop_expired(worker, hold);
    for (; i; i = item_at(outbox, i)->next, sent = 0) {
        struct frame *frame = frame_at(outbox, item_at(outbox, i)->frame);
        if (frame->terms.key)
            stats_add(&worker->stats->dropped_replaced, hold_replace(hold, frame->terms.key));
        hold_queue(hold,
                   (struct waiting){.chunk = chunk_ref(chunk_of(outbox, frame)),
                                    .sent = sent,
                                    .push = frame->terms.mark != 0},
                   false);
        if (frame->terms.mark)
            stats_add(&worker->stats->queued, 1);
    }
}

/* Counts the frames among the first `bytes` that are wholly sent. Returns the first that is not, or
 * 0, and in *sent what of it is gone. */
static uint32_t count_sent(struct worker *worker, uint32_t first, size_t bytes, uint32_t *sent)
{
    const struct outbox *outbox = worker->outbox;
    uint32_t i = first;
    uint64_t frames = 0, pushes = 0;
    for (; i; i = item_at(outbox, i)->next) {
        const struct frame *frame = frame_at(outbox, item_at(outbox, i)->frame);
        if (frame->size > bytes)
            break;
        bytes -= frame->size;
        frames++;
        pushes += frame->terms.mark != 0;
    }
    stats_add(&worker->stats->frames_out, frames);
    stats_add(&worker->stats->delivered, pushes);
    *sent = (uint32_t)bytes;
    return i;
}

/* The mark of the last push in the list, or 0. */
static uint64_t last_mark(const struct outbox *outbox, uint32_t i)
{
    uint64_t mark = 0;
    for (; i; i = item_at(outbox, i)->next) {
        const uint64_t m = frame_at(outbox, item_at(outbox, i)->frame)->terms.mark;
        if (m)
            mark = m;
    }
    return mark;
}

/* How far a list of items was sent: the first that the kernel did not wholly take, or 0, and how
 * much of it is gone. */
struct progress {
    uint32_t rest, part;
    bool gone; /* the connection has failed */
};

/* Sends the items from `first` up to `until`. */
static struct progress send_items(struct worker *worker, int fd, uint32_t first, uint32_t until)
{
    const struct outbox *outbox = worker->outbox;
    struct progress progress = {.rest = first};
    struct iovec piece[PIECES_MAX];
    size_t sent = 0, bytes = 0, before = 0;
    while (progress.rest != until && sent == bytes) {
        uint32_t i = progress.rest;
        const size_t count = gather(outbox, &i, until, piece, &bytes);
        sending_whole(worker, i == until ? before + bytes : 0);
        before += bytes;
        const ssize_t n = send_pieces(worker, fd, piece, count);
        progress.gone = n < 0;
        if (progress.gone)
            break;
        sent = (size_t)n;
        progress.rest = count_sent(worker, progress.rest, sent, &progress.part);
    }
    return progress;
}

/* Pushes wait for the HELLO of a connection that has not got it, and is not getting it now. */
static bool waits_for_hello(const struct conn *conn)
{
    return word_state(conn_word(conn)) == CONN_SUBSCRIBING && !conn_has(conn, CONN_GREETING);
}

/* The first item that may not be sent now, or 0: all may. */
static uint32_t first_to_wait(const struct worker *worker, const struct conn *conn, uint32_t first)
{
    const struct outbox *outbox = worker->outbox;
    const struct hold *hold = hold_find(worker, conn);
    uint32_t i = first;
    if (hold && hold->count > 0)
        return first; /* behind the backlog */
    if (!waits_for_hello(conn))
        return 0;
    while (i && frame_at(outbox, item_at(outbox, i)->frame)->terms.mark == 0)
        i = item_at(outbox, i)->next;
    return i;
}

/* Puts what the kernel did not take of a list into the backlog. */
static void queue_unsent_frames(struct worker *worker, struct conn *conn, struct progress progress)
{
    if (!progress.rest)
        return;
    KILLPOINT(SEND_PARTLY);
    hold_mark(worker, conn);
    spill(worker, hold_get(worker, conn), progress.rest, progress.part);
    KILLPOINT(SEND_WAITS);
}

/* Does what follows from a send: ends the connection if it has failed, judges its backlog, or notes
 * that everything has left. May end the connection. */
static void settle_target(struct worker *worker, struct conn *conn, bool gone)
{
    const struct hold *hold = hold_find(worker, conn);
    if (gone) {
        client_end(worker, conn, CLOSED_RESET);
    } else if (hold && hold->count > 0) {
        client_backlogged(worker, conn);
    } else {
        hold_settle(worker, conn);
        client_flushed(worker, conn);
    }
}

/* Does the same for the connections that an early flush has sent to, if they are still there. */
static void settle_early_targets(struct worker *worker)
{
    struct array *array = &worker->outbox->unsettled;
    for (uint32_t i = 0; i < array->count; i++) {
        const struct unsettled unsettled = ((const struct unsettled *)array->at)[i];
        struct conn *conn = conn_deref(worker->table, worker->capacity, unsettled.ref, worker->id);
        words_connection(&worker->slot->words, unsettled.ref.fd, unsettled.ref.generation);
        if (conn)
            settle_target(worker, conn, unsettled.gone);
    }
    array->count = 0;
}

/* What has become of each push of a list. */
static void trace_items(const struct worker *worker, const struct conn *conn, uint32_t first,
                        struct progress progress)
{
    const struct outbox *outbox = worker->outbox;
    const char *outcome = "delivered";
    for (uint32_t i = first; i; i = item_at(outbox, i)->next) {
        const uint64_t mark = frame_at(outbox, item_at(outbox, i)->frame)->terms.mark;
        if (i == progress.rest)
            outcome = progress.gone ? "closed" : "queued";
        if (mark)
            trace_delivery(worker, conn, mark, outcome);
    }
}

static void flush_target(struct worker *worker, uint32_t place)
{
    const struct target target = *target_at(worker->outbox, place);
    struct conn *conn =
        target.first ? conn_deref(worker->table, worker->capacity, target.ref, worker->id) : NULL;
    if (!conn)
        return;
    *target_at(worker->outbox, place) = (struct target){0}; /* it is sent once */
    *outbox_place(worker, conn) = 0;
    const uint64_t mark = last_mark(worker->outbox, target.first);
    sending_begin(worker, target.ref, mark, worker->outbox->early);
    KILLPOINT(SEND_BEFORE);
    const struct progress progress = send_items(worker, (int)target.ref.fd, target.first,
                                                first_to_wait(worker, conn, target.first));
    KILLPOINT(SEND_AFTER);
    if (trace_on(worker))
        trace_items(worker, conn, target.first, progress);
    if (progress.gone) {
        outbox_count_lost(worker, progress.rest);
    } else {
        sending_note(worker, conn, mark);
        KILLPOINT(SEND_MARKED);
        queue_unsent_frames(worker, conn, progress);
    }
    if (worker->outbox->early)
        outbox_settle_later(worker, conn, progress.gone);
    else
        settle_target(worker, conn, progress.gone);
    sending_end(worker);
}

static void flush_place(struct worker *worker, uint32_t place)
{
    const struct conn_ref ref = target_at(worker->outbox, place)->ref;
    words_connection(&worker->slot->words, ref.fd, ref.generation);
    fault_meet_flush();
    flush_target(worker, place);
}

/* Looks at the clock, and shows that this process is not stuck. True if the time is over. */
static bool slice_is_over(struct worker *worker, uint64_t *ends_ms)
{
    const uint64_t now_ms = clock_mono_ms();
    atomic_store_explicit(&worker->slot->heartbeat, now_ms, memory_order_relaxed);
    if (*ends_ms == 0)
        *ends_ms = now_ms + SLICE_MS;
    return now_ms >= *ends_ms;
}

/* Sends what is left; if `slice`, for as long as that takes at most. Returns whether it was all. */
static bool flush_rest(struct worker *worker, bool slice)
{
    struct outbox *outbox = worker->outbox;
    uint64_t ends_ms = 0;
    for (uint32_t sent = 1; outbox->next < outbox->targets.count; sent++) {
        flush_place(worker, outbox->next++);
        if (sent % LOOK_EVERY == 0 && slice_is_over(worker, &ends_ms) && slice)
            return outbox->next == outbox->targets.count;
    }
    return true;
}

/* Sends what the connections have that got something since the last slice. */
static bool flush_answers(struct worker *worker, bool slice)
{
    struct queue *answers = &worker->outbox->answers;
    (void)slice;
    while (answers->count > 0)
        flush_place(worker, (uint32_t)queue_pop(answers));
    return true;
}

/* A flush comes in between where room is needed: then what was in hand is taken up again. */
static bool flush_with(struct worker *worker, bool (*flush)(struct worker *, bool), bool slice)
{
    struct slot_words *words = &worker->slot->words;
    const enum doing doing = (enum doing)words->doing;
    const uint32_t fd = words->fd, generation = words->generation;
    words_doing(words, DOING_FLUSHING);
    bool all = flush(worker, slice);
    if (!worker->outbox->early && worker->outbox->unsettled.count > 0) {
        settle_early_targets(worker);
        all = flush(worker, slice);
    }
    words_doing(words, doing);
    words_connection(words, fd, generation);
    return all;
}

void outbox_flush(struct worker *worker)
{
    flush_with(worker, flush_rest, false);
    outbox_reset(worker->outbox);
}

bool outbox_flush_slice(struct worker *worker)
{
    const bool all = flush_with(worker, flush_rest, true);
    if (all)
        outbox_reset(worker->outbox);
    else
        worker->outbox->partly = true;
    return all;
}

void outbox_flush_answers(struct worker *worker)
{
    flush_with(worker, flush_answers, false);
}

/* Each backlog that a frame waits in has a reference to its bytes, and the frame has one. */
static uint32_t backlogs_of(const struct outbox *outbox, frame_id frame)
{
    const struct chunk *chunk = frame == NO_FRAME ? NULL : frame_at(outbox, frame)->chunk;
    return chunk ? chunk->refs - 1 : 0;
}

uint32_t outbox_flush_and_count(struct worker *worker, const frame_id frame[2])
{
    const struct outbox *outbox = worker->outbox;
    flush_with(worker, flush_rest, false);
    const uint32_t waiting = backlogs_of(outbox, frame[0]) + backlogs_of(outbox, frame[1]);
    outbox_reset(worker->outbox);
    return waiting;
}

/* ---- Backlog ---- */

/* Takes what `n` sent bytes mean out of the queue. */
static void backlog_sent(struct worker *worker, struct hold *hold, size_t n)
{
    while (n > 0) {
        struct waiting *waiting = hold_at(hold, 0);
        const uint32_t left = waiting->chunk->len - waiting->sent;
        if (n < left) {
            waiting->sent += (uint32_t)n;
            hold->bytes -= (uint32_t)n;
            return;
        }
        n -= left;
        stats_add(&worker->stats->frames_out, 1);
        stats_add(&worker->stats->delivered, waiting->push);
        hold_shift(hold);
    }
}

void outbox_resume(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    struct iovec piece[PIECES_MAX];
    if (hold)
        drop_expired(worker, hold);
    while (hold && hold->count > 0) {
        size_t count = 0, bytes = 0;
        for (; count < hold->count && count < PIECES_MAX; count++) {
            const struct waiting *waiting = hold_at(hold, (uint32_t)count);
            if (waiting->push && waits_for_hello(conn))
                break;
            piece[count] = (struct iovec){.iov_base = waiting->chunk->bytes + waiting->sent,
                                          .iov_len = waiting->chunk->len - waiting->sent};
            bytes += piece[count].iov_len;
        }
        if (count == 0)
            break; /* HELLO will let them go */
        const ssize_t n = send_pieces(worker, (int)(conn - worker->table), piece, count);
        if (n < 0) {
            client_end(worker, conn, CLOSED_RESET);
            return;
        }
        KILLPOINT(BACKLOG_SENT);
        backlog_sent(worker, hold, (size_t)n);
        if ((size_t)n < bytes) {
            hold_show(worker, conn);
            return;
        }
    }
    hold_settle(worker, conn);
    client_caught_up(worker, conn);
}
