/*
 * See outbox.h. The flush walks the targets by index, because sending can end a connection, and
 * ending one can give others something to send: targets added meanwhile are reached by the same
 * walk. Frames that lie side by side in the arena, as a burst for one user does, are sent as one
 * piece.
 */
#include "worker/outbox.h"

#include "common/killpoint.h"
#include "worker/client.h"
#include "worker/fault.h"
#include "worker/hold.h"
#include "worker/home.h"
#include "worker/sending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    SMALL_ROOM = 4096,   /* for the small frames that a turn encodes without asking */
    ITEMS_MAX = 1 << 17, /* then the outbox is flushed before the next message */
    PIECES_MAX = 64,     /* of one sendmsg(2) */
};

struct frame {
    uint32_t offset, size;
    struct push_terms terms; /* all 0: no push */
    struct chunk *chunk;     /* the same bytes on the heap, once a connection had to wait */
};

struct item {
    frame_id frame;
    uint32_t next; /* 0: the last */
};

struct target {
    struct conn_ref ref;
    uint32_t first, last;
};

/* A growing array: item 0 of items and targets is never used, so that 0 means none. */
struct array {
    void *at;
    uint32_t count, size;
};

struct outbox {
    uint8_t *arena;
    size_t used, size;
    struct array frames, items, targets;
    bool early; /* being flushed before the turn's end, in the middle of something */
};

static uint32_t array_add(struct array *array, size_t element)
{
    if (array->count == array->size) {
        const uint32_t size = array->size ? array->size * 2 : 256;
        void *at = realloc(array->at, size * element);
        if (!at)
            abort();
        array->at = at;
        array->size = size;
    }
    return array->count++;
}

static struct frame *frame_at(const struct outbox *outbox, frame_id id)
{
    return (struct frame *)outbox->frames.at + id;
}

static struct item *item_at(const struct outbox *outbox, uint32_t i)
{
    return (struct item *)outbox->items.at + i;
}

static struct target *target_at(const struct outbox *outbox, uint32_t i)
{
    return (struct target *)outbox->targets.at + i;
}

struct outbox *outbox_new(size_t payload_max)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));
    if (!outbox)
        return NULL;
    outbox->size = 2 * (message_json_bound(payload_max) + payload_max) + SMALL_ROOM + (1 << 20);
    /* Only pages that a turn has used are ever real. */
    outbox->arena = mmap(NULL, outbox->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (outbox->arena == MAP_FAILED) {
        free(outbox);
        return NULL;
    }
    array_add(&outbox->items, sizeof(struct item));
    array_add(&outbox->targets, sizeof(struct target));
    return outbox;
}

void outbox_reserve(struct worker *worker, size_t len)
{
    struct outbox *outbox = worker->outbox;
    const size_t need =
        len + message_json_bound(len) + (size_t)(2 * WS_HEADER_MAX) + (size_t)SMALL_ROOM;
    if (outbox->size - outbox->used >= need && outbox->items.count <= ITEMS_MAX)
        return;
    outbox->early = true;
    outbox_flush(worker);
    outbox->early = false;
}

/* Notes arena[used .. used + size) as a frame. */
static frame_id frame_add(struct outbox *outbox, size_t size)
{
    const frame_id id = array_add(&outbox->frames, sizeof(struct frame));
    *frame_at(outbox, id) =
        (struct frame){.offset = (uint32_t)outbox->used, .size = (uint32_t)size};
    outbox->used += size;
    return id;
}

frame_id outbox_bytes(struct worker *worker, const void *bytes, size_t len)
{
    struct outbox *outbox = worker->outbox;
    memcpy(outbox->arena + outbox->used, bytes, len);
    return frame_add(outbox, len);
}

frame_id outbox_frame(struct worker *worker, enum ws_opcode opcode, const void *payload, size_t len)
{
    struct outbox *outbox = worker->outbox;
    uint8_t *at = outbox->arena + outbox->used;
    const size_t header = ws_header(at, opcode, len);
    if (len > 0)
        memcpy(at + header, payload, len);
    return frame_add(outbox, header + len);
}

frame_id outbox_close(struct worker *worker, uint16_t code, const char *reason)
{
    struct outbox *outbox = worker->outbox;
    return frame_add(outbox,
                     ws_close_frame(outbox->arena + outbox->used, code, reason, strlen(reason)));
}

/* A JSON text's length is known only when it is written, so it is written behind room for the
 * longest header, and the header right before it. */
static frame_id json_frame(struct outbox *outbox, const struct message *message)
{
    uint8_t header[10];
    uint8_t *at = outbox->arena + outbox->used;
    const size_t len = message_to_json((char *)at + sizeof(header), message);
    const size_t header_size = ws_header(header, WS_TEXT, len);
    outbox->used += sizeof(header) - header_size;
    memcpy(outbox->arena + outbox->used, header, header_size);
    return frame_add(outbox, header_size + len);
}

static frame_id binary_frame(struct outbox *outbox, const struct message *message)
{
    uint8_t *at = outbox->arena + outbox->used;
    const size_t header = ws_header(at, WS_BINARY, OPCODE_SIZE + message->len);
    opcode_put(at + header, message->op);
    if (message->len > 0)
        memcpy(at + header + OPCODE_SIZE, message->payload, message->len);
    return frame_add(outbox, header + OPCODE_SIZE + message->len);
}

frame_id outbox_message(struct worker *worker, const struct message *message, bool json)
{
    return json ? json_frame(worker->outbox, message) : binary_frame(worker->outbox, message);
}

frame_id outbox_push(struct worker *worker, const struct message *message, bool json,
                     const struct push_terms *terms)
{
    const frame_id id = outbox_message(worker, message, json);
    frame_at(worker->outbox, id)->terms = *terms;
    return id;
}

/* Where the connection's place in the outbox is kept: in its hold if it has one. */
static uint32_t *place_of(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    if (hold)
        return &hold->outbox;
    if (conn->incarnation != worker->incarnation) {
        conn->held = 0; /* a dead process's: it means nothing here */
        conn->incarnation = worker->incarnation;
    }
    return &conn->held;
}

static uint32_t target_new(struct worker *worker, const struct conn *conn)
{
    struct outbox *outbox = worker->outbox;
    const uint32_t place = array_add(&outbox->targets, sizeof(struct target));
    *target_at(outbox, place) = (struct target){.ref = conn_ref(worker->table, conn)};
    return place;
}

void outbox_add(struct worker *worker, struct conn *conn, frame_id frame)
{
    const uint64_t word = conn_word(conn);
    if (word_owner(word) != worker->id || word_state(word) == CONN_FREE)
        return; /* it has ended within this turn: the record may be another worker's by now */
    if (hold_lost(worker, conn))
        return;
    struct outbox *outbox = worker->outbox;
    uint32_t *place = place_of(worker, conn);
    if (*place == 0)
        *place = target_new(worker, conn);
    const uint32_t i = array_add(&outbox->items, sizeof(struct item));
    *item_at(outbox, i) = (struct item){.frame = frame};
    struct target *target = target_at(outbox, *place);
    if (target->last)
        item_at(outbox, target->last)->next = i;
    else
        target->first = i;
    target->last = i;
}

bool outbox_ends_with(struct worker *worker, struct conn *conn, frame_id frame)
{
    const struct outbox *outbox = worker->outbox;
    const uint32_t place = *place_of(worker, conn);
    return place && item_at(outbox, target_at(outbox, place)->last)->frame == frame;
}

/* Inserts the frame before the first push that this turn has for the connection. */
static void add_before_pushes(struct worker *worker, struct conn *conn, frame_id frame)
{
    struct outbox *outbox = worker->outbox;
    uint32_t before = 0; /* the item behind which it comes */
    outbox_add(worker, conn, frame);
    const uint32_t place = *place_of(worker, conn);
    if (place == 0)
        return; /* the connection is lost */
    struct target *target = target_at(outbox, place);
    const uint32_t hello = target->last;
    uint32_t i = target->first;
    for (; i != hello && frame_at(outbox, item_at(outbox, i)->frame)->terms.mark == 0;
         i = item_at(outbox, i)->next)
        before = i;
    if (i == hello)
        return;
    uint32_t *const link = before ? &item_at(outbox, before)->next : &target->first;
    for (target->last = i; item_at(outbox, target->last)->next != hello;)
        target->last = item_at(outbox, target->last)->next;
    item_at(outbox, target->last)->next = 0;
    item_at(outbox, hello)->next = i;
    *link = hello;
}

void outbox_greet(struct worker *worker, struct conn *conn, frame_id frame)
{
    struct hold *hold = hold_find(worker, conn);
    if (!hold || hold->count == 0) {
        add_before_pushes(worker, conn, frame);
        return;
    }
    const struct frame *hello = frame_at(worker->outbox, frame);
    hold_queue(
        hold,
        (struct waiting){.chunk = chunk_new(worker->outbox->arena + hello->offset, hello->size)},
        true);
    home_greeted(worker, conn);
    client_backlogged(worker, conn);
}

/* Counts the pushes from item i on: their connection is gone. */
static void count_lost(struct worker *worker, uint32_t i)
{
    const struct outbox *outbox = worker->outbox;
    for (; i; i = item_at(outbox, i)->next)
        if (frame_at(outbox, item_at(outbox, i)->frame)->terms.mark)
            stats_add(&worker->stats->dropped_closed, 1);
}

void outbox_forget(struct worker *worker, struct conn *conn)
{
    uint32_t *place = place_of(worker, conn);
    if (*place == 0)
        return;
    struct outbox *outbox = worker->outbox;
    struct target *target = target_at(outbox, *place);
    count_lost(worker, target->first);
    *target = (struct target){0};
    *place = 0;
}

/* ---- Sending ---- */

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

/* What is left of a list goes to the backlog. */
static void settle_target(struct worker *worker, struct conn *conn, struct progress progress)
{
    if (progress.rest) {
        KILLPOINT(SEND_PARTLY);
        hold_mark(worker, conn);
        spill(worker, hold_get(worker, conn), progress.rest, progress.part);
        KILLPOINT(SEND_WAITS);
        client_backlogged(worker, conn);
    } else {
        hold_settle(worker, conn);
        client_flushed(worker, conn);
    }
}

static void flush_target(struct worker *worker, uint32_t place)
{
    const struct target target = *target_at(worker->outbox, place);
    struct conn *conn =
        target.first ? conn_deref(worker->table, worker->capacity, target.ref, worker->id) : NULL;
    if (!conn)
        return;
    *place_of(worker, conn) = 0;
    const uint64_t mark = last_mark(worker->outbox, target.first);
    sending_begin(worker, target.ref, mark, worker->outbox->early);
    KILLPOINT(SEND_BEFORE);
    const struct progress progress = send_items(worker, (int)target.ref.fd, target.first,
                                                first_to_wait(worker, conn, target.first));
    KILLPOINT(SEND_AFTER);
    if (progress.gone) {
        count_lost(worker, progress.rest);
        client_end(worker, conn, CLOSED_RESET);
    } else {
        sending_note(worker, conn, mark);
        KILLPOINT(SEND_MARKED);
        settle_target(worker, conn, progress);
    }
    sending_end(worker);
}

static void outbox_reset(struct outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->frames.count; i++)
        chunk_unref(frame_at(outbox, i)->chunk);
    outbox->frames.count = 0;
    outbox->items.count = 1;
    outbox->targets.count = 1;
    outbox->used = 0;
}

static void flush_all(struct worker *worker)
{
    const struct outbox *outbox = worker->outbox;
    struct slot_words *words = &worker->slot->words;
    /* A flush comes in between where room is needed: then what was in hand is taken up again. */
    const enum doing doing = (enum doing)words->doing;
    const uint32_t fd = words->fd, generation = words->generation;
    words_doing(words, DOING_FLUSHING);
    for (uint32_t i = 1; i < outbox->targets.count; i++) {
        const struct conn_ref ref = target_at(outbox, i)->ref;
        words_connection(words, ref.fd, ref.generation);
        fault_meet_flush();
        flush_target(worker, i);
    }
    words_doing(words, doing);
    words_connection(words, fd, generation);
}

void outbox_flush(struct worker *worker)
{
    flush_all(worker);
    outbox_reset(worker->outbox);
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
    flush_all(worker);
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
