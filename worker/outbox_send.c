/*
 * See outbox.h: the flush, and the backlog. The flush walks the targets by index, because sending
 * can end a connection, and the end of one can give others something to send: targets added
 * meanwhile are reached by the same walk. The walk may be interrupted (batch.h): it goes on at
 * `next`, and a target that was sent out of turn is empty by then.
 *
 * An early flush only makes room within a turn: a request may be half handled, and its connection
 * may be the one that fails. So it only sends, and queues frames that the kernel does not take.
 * Whether a connection must end, is clean, or must be watched for room is decided by the next flush
 * at the end of the turn.
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
    SLICE_MS = 0, /* so that every slice has an end, at which a test can kill the worker */
    LOOK_EVERY = 4
#else
    SLICE_MS = 10,  /* of one outbox_flush_slice */
    LOOK_EVERY = 32 /* targets between two looks at the clock */
#endif
};

/* Sends up to PIECES_MAX pieces. Returns the number of bytes taken, 0 if the socket is full, or -1
 * if the connection has failed. */
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

/* Gathers pieces from item *i on, up to item `until`; adjacent frames become one piece. Sets *i to
 * the item after them. Returns the number of pieces. */
static size_t gather_frame_pieces(const struct outbox *outbox, uint32_t *i, uint32_t until,
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

/* Returns the heap copy of the frame, which outlives the turn; borrowed. */
static struct chunk *frame_heap_chunk(const struct outbox *outbox, struct frame *frame)
{
    if (!frame->chunk) {
        frame->chunk = chunk_new(outbox->arena + frame->offset, frame->size);
        frame->chunk->expires_ms = frame->terms.expires_ms;
        frame->chunk->key = frame->terms.key;
    }
    return frame->chunk;
}

static void drop_expired_pushes(struct worker *worker, struct hold *hold)
{
    stats_add(&worker->stats->dropped_expired, hold_expire(hold, worker->now_ms));
}

/* Puts the frames from item i on into the backlog; `sent` bytes of the first have left already. */
static void spill_to_backlog(struct worker *worker, struct hold *hold, uint32_t i, uint32_t sent)
{
    const struct outbox *outbox = worker->outbox;
    drop_expired_pushes(worker, hold);
    for (; i; i = item_at(outbox, i)->next, sent = 0) {
        struct frame *frame = frame_at(outbox, item_at(outbox, i)->frame);
        if (frame->terms.key)
            stats_add(&worker->stats->dropped_replaced, hold_replace(hold, frame->terms.key));
        hold_queue(hold,
                   (struct waiting){.chunk = chunk_ref(frame_heap_chunk(outbox, frame)),
                                    .sent = sent,
                                    .push = frame->terms.mark != 0},
                   false);
        if (frame->terms.mark)
            stats_add(&worker->stats->queued, 1);
    }
}

/* Counts the frames that the first `bytes` bytes complete. Returns the first item that is not
 * completely sent, or 0; *sent is then the number of its bytes that have left. */
static uint32_t count_sent_frames(struct worker *worker, uint32_t first, size_t bytes,
                                  uint32_t *sent)
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

/* Returns the mark of the last push in the list, or 0. */
static uint64_t last_push_mark(const struct outbox *outbox, uint32_t i)
{
    uint64_t mark = 0;
    for (; i; i = item_at(outbox, i)->next) {
        const uint64_t m = frame_at(outbox, item_at(outbox, i)->frame)->terms.mark;
        if (m)
            mark = m;
    }
    return mark;
}

/* The progress of sending a list of items: the first that the kernel did not take completely, or 0,
 * and how many of its bytes it took. */
struct progress {
    uint32_t rest, part;
    bool gone; /* the connection has failed */
};

/* Sends the items from `first` up to `until`. */
static struct progress send_target_items(struct worker *worker, int fd, uint32_t first,
                                         uint32_t until)
{
    const struct outbox *outbox = worker->outbox;
    struct progress progress = {.rest = first};
    struct iovec piece[PIECES_MAX];
    size_t sent = 0, bytes = 0, before = 0;
    while (progress.rest != until && sent == bytes) {
        uint32_t i = progress.rest;
        const size_t count = gather_frame_pieces(outbox, &i, until, piece, &bytes);
        sending_whole(worker, i == until ? before + bytes : 0);
        before += bytes;
        const ssize_t n = send_pieces(worker, fd, piece, count);
        progress.gone = n < 0;
        if (progress.gone)
            break;
        sent = (size_t)n;
        progress.rest = count_sent_frames(worker, progress.rest, sent, &progress.part);
    }
    return progress;
}

/* True if pushes must wait for the connection's HELLO, which it has not got and is not getting
 * now. */
static bool pushes_wait_for_hello(const struct conn *conn)
{
    return word_state(conn_word(conn)) == CONN_SUBSCRIBING && !conn_has(conn, CONN_GREETING);
}

/* Returns the first item that may not be sent now, or 0 if all may. */
static uint32_t first_waiting_item(const struct worker *worker, const struct conn *conn,
                                   uint32_t first)
{
    const struct outbox *outbox = worker->outbox;
    const struct hold *hold = hold_find(worker, conn);
    uint32_t i = first;
    if (hold && hold->count > 0)
        return first; /* behind the backlog */
    if (!pushes_wait_for_hello(conn))
        return 0;
    while (i && frame_at(outbox, item_at(outbox, i)->frame)->terms.mark == 0)
        i = item_at(outbox, i)->next;
    return i;
}

/* Puts the items that the kernel did not take into the backlog. */
static void queue_unsent_frames(struct worker *worker, struct conn *conn, struct progress progress)
{
    if (!progress.rest)
        return;
    KILLPOINT(SEND_PARTLY);
    hold_mark(worker, conn);
    spill_to_backlog(worker, hold_get(worker, conn), progress.rest, progress.part);
    KILLPOINT(SEND_WAITS);
}

/* Handles the result of a send: ends the connection if it has failed, checks its backlog against
 * the limits, or notes that everything has left. May end the connection. */
static void settle_sent_target(struct worker *worker, struct conn *conn, bool gone)
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

/* Does the same for connections to which an early flush has sent, if they still exist. */
static void settle_early_targets(struct worker *worker)
{
    struct array *array = &worker->outbox->unsettled;
    for (uint32_t i = 0; i < array->count; i++) {
        const struct unsettled unsettled = ((const struct unsettled *)array->at)[i];
        struct conn *conn = conn_deref(worker->table, worker->capacity, unsettled.ref, worker->id);
        words_connection(&worker->slot->words, unsettled.ref.fd, unsettled.ref.generation);
        if (conn)
            settle_sent_target(worker, conn, unsettled.gone);
    }
    array->count = 0;
}

/* Logs the outcome of each push in a list. */
static void trace_sent_items(const struct worker *worker, const struct conn *conn, uint32_t first,
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

static void flush_one_target(struct worker *worker, uint32_t place)
{
    const struct target target = *target_at(worker->outbox, place);
    struct conn *conn =
        target.first ? conn_deref(worker->table, worker->capacity, target.ref, worker->id) : NULL;
    if (!conn)
        return;
    *target_at(worker->outbox, place) = (struct target){0}; /* it is sent once */
    *outbox_place(worker, conn) = 0;
    const uint64_t mark = last_push_mark(worker->outbox, target.first);
    sending_begin(worker, target.ref, mark, worker->outbox->early);
    KILLPOINT(SEND_BEFORE);
    const struct progress progress = send_target_items(
        worker, (int)target.ref.fd, target.first, first_waiting_item(worker, conn, target.first));
    KILLPOINT(SEND_AFTER);
    if (trace_on(worker))
        trace_sent_items(worker, conn, target.first, progress);
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
        settle_sent_target(worker, conn, progress.gone);
    sending_end(worker);
}

static void flush_target_at(struct worker *worker, uint32_t place)
{
    const struct conn_ref ref = target_at(worker->outbox, place)->ref;
    words_connection(&worker->slot->words, ref.fd, ref.generation);
    fault_meet_flush();
    flush_one_target(worker, place);
}

/* Reads the clock and updates the heartbeat, which shows that this process is not stuck. True if
 * the slice is over. */
static bool flush_slice_is_over(struct worker *worker, uint64_t *ends_ms)
{
    const uint64_t now_ms = clock_mono_ms();
    atomic_store_explicit(&worker->slot->heartbeat, now_ms, memory_order_relaxed);
    if (*ends_ms == 0)
        *ends_ms = now_ms + SLICE_MS;
    return now_ms >= *ends_ms;
}

/* Sends to the remaining targets; if `slice`, for at most one slice. Returns true if that was
 * all. */
static bool flush_remaining_targets(struct worker *worker, bool slice)
{
    struct outbox *outbox = worker->outbox;
    uint64_t ends_ms = 0;
    for (uint32_t sent = 1; outbox->next < outbox->targets.count; sent++) {
        flush_target_at(worker, outbox->next++);
        if (sent % LOOK_EVERY == 0 && flush_slice_is_over(worker, &ends_ms) && slice)
            return outbox->next == outbox->targets.count;
    }
    return true;
}

/* Sends to connections that got something since the last slice. */
static bool flush_answered_targets(struct worker *worker, bool slice)
{
    struct queue *answers = &worker->outbox->answers;
    (void)slice;
    while (answers->count > 0)
        flush_target_at(worker, (uint32_t)queue_pop(answers));
    return true;
}

/* Runs a flush. It may happen in the middle of other work, to make room, so the crash note of that
 * work is restored afterwards. */
static bool flush_and_settle(struct worker *worker, bool (*flush)(struct worker *, bool),
                             bool slice)
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
    flush_and_settle(worker, flush_remaining_targets, false);
    outbox_reset(worker->outbox);
}

bool outbox_flush_slice(struct worker *worker)
{
    const bool all = flush_and_settle(worker, flush_remaining_targets, true);
    if (all)
        outbox_reset(worker->outbox);
    else
        worker->outbox->partly = true;
    return all;
}

void outbox_flush_answers(struct worker *worker)
{
    flush_and_settle(worker, flush_answered_targets, false);
}

/* Returns the number of backlogs that hold the frame: each has a reference to the chunk, and so has
 * the frame. */
static uint32_t count_frame_backlogs(const struct outbox *outbox, frame_id frame)
{
    const struct chunk *chunk = frame == NO_FRAME ? NULL : frame_at(outbox, frame)->chunk;
    return chunk ? chunk->refs - 1 : 0;
}

uint32_t outbox_flush_and_count(struct worker *worker, const frame_id frame[2])
{
    const struct outbox *outbox = worker->outbox;
    flush_and_settle(worker, flush_remaining_targets, false);
    const uint32_t waiting =
        count_frame_backlogs(outbox, frame[0]) + count_frame_backlogs(outbox, frame[1]);
    outbox_reset(worker->outbox);
    return waiting;
}

/* ---- Backlog ---- */

/* Removes `n` sent bytes from the backlog. */
static void remove_sent_backlog(struct worker *worker, struct hold *hold, size_t n)
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
        drop_expired_pushes(worker, hold);
    while (hold && hold->count > 0) {
        size_t count = 0, bytes = 0;
        for (; count < hold->count && count < PIECES_MAX; count++) {
            const struct waiting *waiting = hold_at(hold, (uint32_t)count);
            if (waiting->push && pushes_wait_for_hello(conn))
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
        remove_sent_backlog(worker, hold, (size_t)n);
        if ((size_t)n < bytes) {
            hold_show(worker, conn);
            return;
        }
    }
    hold_settle(worker, conn);
    client_caught_up(worker, conn);
}
