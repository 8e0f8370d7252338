/*
 * See outbox.h: gathering and encoding. Frames that are adjacent in the arena, such as those of a
 * burst for one user, are sent as one piece. Sending is in outbox_send.c.
 */
#include "worker/outbox.h"

#include "worker/client.h"
#include "worker/hold.h"
#include "worker/home.h"
#include "worker/outbox_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SMALL_ROOM = 4096,   /* bytes for small frames, which are encoded without outbox_reserve */
    ITEMS_MAX = 1 << 17, /* more, and the outbox is flushed before the next message */
    ITEMS_FULL = 1 << 16 /* more, and it should be flushed */
};

static uint32_t array_add_element(struct array *array, size_t element)
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

struct outbox *outbox_new(size_t payload_max)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));
    if (!outbox)
        return NULL;
    outbox->size = 2 * (message_json_bound(payload_max) + payload_max) + SMALL_ROOM + (1 << 20);
    /* Pages that no turn has used take no memory. */
    outbox->arena = mmap(NULL, outbox->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (outbox->arena == MAP_FAILED) {
        free(outbox);
        return NULL;
    }
    array_add_element(&outbox->items, sizeof(struct item));
    array_add_element(&outbox->targets, sizeof(struct target));
    outbox->next = 1;
    return outbox;
}

void outbox_reserve(struct worker *worker, size_t len)
{
    struct outbox *outbox = worker->outbox;
    const size_t need =
        len + message_json_bound(len) + (size_t)(2 * WS_HEADER_MAX) + (size_t)SMALL_ROOM;
    const bool many = outbox->items.count > ITEMS_MAX && !outbox->partly;
    if (outbox->size - outbox->used >= need && !many)
        return;
    outbox->early = true;
    outbox_flush(worker);
    outbox->early = false;
}

uint32_t outbox_items(const struct worker *worker)
{
    return worker->outbox->items.count;
}

/* Half of the arena is left for answers to clients while the other half is sent. */
bool outbox_is_full(const struct worker *worker)
{
    const struct outbox *outbox = worker->outbox;
    return outbox->items.count > ITEMS_FULL || outbox->used > outbox->size / 2;
}

/* ---- Encoding ---- */

/* Notes arena[used .. used + size) as a frame. */
static frame_id note_frame(struct outbox *outbox, size_t size)
{
    const frame_id id = array_add_element(&outbox->frames, sizeof(struct frame));
    *frame_at(outbox, id) =
        (struct frame){.offset = (uint32_t)outbox->used, .size = (uint32_t)size};
    outbox->used += size;
    return id;
}

frame_id outbox_bytes(struct worker *worker, const void *bytes, size_t len)
{
    struct outbox *outbox = worker->outbox;
    memcpy(outbox->arena + outbox->used, bytes, len);
    return note_frame(outbox, len);
}

frame_id outbox_frame(struct worker *worker, enum ws_opcode opcode, const void *payload, size_t len)
{
    struct outbox *outbox = worker->outbox;
    uint8_t *at = outbox->arena + outbox->used;
    const size_t header = ws_header(at, opcode, len);
    if (len > 0)
        memcpy(at + header, payload, len);
    return note_frame(outbox, header + len);
}

frame_id outbox_close(struct worker *worker, uint16_t code, const char *reason)
{
    struct outbox *outbox = worker->outbox;
    return note_frame(outbox,
                      ws_close_frame(outbox->arena + outbox->used, code, reason, strlen(reason)));
}

/* Encodes a JSON frame. The length of the text is known only after it is written, so the text is
 * written behind room for the longest header, and the header then goes right before it. */
static frame_id encode_json_frame(struct outbox *outbox, const struct message *message)
{
    uint8_t header[10];
    uint8_t *at = outbox->arena + outbox->used;
    const size_t len = message_to_json((char *)at + sizeof(header), message);
    const size_t header_size = ws_header(header, WS_TEXT, len);
    outbox->used += sizeof(header) - header_size;
    memcpy(outbox->arena + outbox->used, header, header_size);
    return note_frame(outbox, header_size + len);
}

static frame_id encode_binary_frame(struct outbox *outbox, const struct message *message)
{
    uint8_t *at = outbox->arena + outbox->used;
    const size_t header = ws_header(at, WS_BINARY, OPCODE_SIZE + message->len);
    opcode_put(at + header, message->op);
    if (message->len > 0)
        memcpy(at + header + OPCODE_SIZE, message->payload, message->len);
    return note_frame(outbox, header + OPCODE_SIZE + message->len);
}

frame_id outbox_message(struct worker *worker, const struct message *message, bool json)
{
    return json ? encode_json_frame(worker->outbox, message)
                : encode_binary_frame(worker->outbox, message);
}

frame_id outbox_push(struct worker *worker, const struct message *message, bool json,
                     const struct push_terms *terms)
{
    const frame_id id = outbox_message(worker, message, json);
    frame_at(worker->outbox, id)->terms = *terms;
    return id;
}

/* ---- Recipients ---- */

/* True if the target at `place` is the connection's, and not that of an earlier connection with the
 * same descriptor. */
static bool target_is_connection(const struct worker *worker, const struct conn *conn,
                                 uint32_t place)
{
    const struct outbox *outbox = worker->outbox;
    const struct conn_ref ref = conn_ref(worker->table, conn);
    return place > 0 && place < outbox->targets.count &&
           conn_ref_pack(target_at(outbox, place)->ref) == conn_ref_pack(ref);
}

/* Returns the index of the connection's target, or 0 if this turn has nothing for it. */
static uint32_t find_connection_target(const struct worker *worker, const struct conn *conn)
{
    const struct hold *hold = hold_find(worker, conn);
    const uint32_t kept = conn->incarnation == worker->incarnation ? conn->held : 0;
    const uint32_t place = hold ? hold->outbox : kept;
    return target_is_connection(worker, conn, place) ? place : 0;
}

uint32_t *outbox_place(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    if (hold)
        return &hold->outbox;
    if (conn->incarnation != worker->incarnation) {
        conn->held = 0; /* written by a dead process: invalid here */
        conn->incarnation = worker->incarnation;
    }
    return &conn->held;
}

static uint32_t add_connection_target(struct worker *worker, const struct conn *conn)
{
    struct outbox *outbox = worker->outbox;
    const uint32_t place = array_add_element(&outbox->targets, sizeof(struct target));
    *target_at(outbox, place) = (struct target){.ref = conn_ref(worker->table, conn)};
    return place;
}

static void target_append_item(const struct outbox *outbox, struct target *target, uint32_t i)
{
    if (target->last)
        item_at(outbox, target->last)->next = i;
    else
        target->first = i;
    target->last = i;
}

void outbox_add(struct worker *worker, struct conn *conn, frame_id frame)
{
    const uint64_t word = conn_word(conn);
    if (!word_is_of(word, worker->id))
        return; /* it has ended in this turn: its record may belong to another worker by now */
    if (hold_lost(worker, conn))
        return;
    struct outbox *outbox = worker->outbox;
    uint32_t *place = outbox_place(worker, conn);
    if (!target_is_connection(worker, conn, *place))
        *place = add_connection_target(worker, conn);
    if (outbox->partly)
        queue_push(&outbox->answers, *place);
    const uint32_t i = array_add_element(&outbox->items, sizeof(struct item));
    *item_at(outbox, i) = (struct item){.frame = frame};
    target_append_item(outbox, target_at(outbox, *place), i);
}

void outbox_hurry(struct worker *worker, struct conn *conn)
{
    struct outbox *outbox = worker->outbox;
    const uint32_t place = outbox->partly ? *outbox_place(worker, conn) : 0;
    if (place)
        queue_push(&outbox->answers, place);
}

bool outbox_ends_with(const struct worker *worker, const struct conn *conn, frame_id frame)
{
    const struct outbox *outbox = worker->outbox;
    const uint32_t place = find_connection_target(worker, conn);
    return place && item_at(outbox, target_at(outbox, place)->last)->frame == frame;
}

/* Inserts the frame ahead of the first push that this turn has for the connection. */
static void add_before_pushes(struct worker *worker, struct conn *conn, frame_id frame)
{
    struct outbox *outbox = worker->outbox;
    uint32_t before = 0; /* the item that it follows */
    outbox_add(worker, conn, frame);
    const uint32_t place = find_connection_target(worker, conn);
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
    outbox_settle_later(worker, conn, false);
}

void outbox_settle_later(struct worker *worker, const struct conn *conn, bool gone)
{
    struct array *array = &worker->outbox->unsettled;
    const uint32_t i = array_add_element(array, sizeof(struct unsettled));
    ((struct unsettled *)array->at)[i] =
        (struct unsettled){.ref = conn_ref(worker->table, conn), .gone = gone};
}

void outbox_count_lost(struct worker *worker, uint32_t i)
{
    const struct outbox *outbox = worker->outbox;
    for (; i; i = item_at(outbox, i)->next)
        if (frame_at(outbox, item_at(outbox, i)->frame)->terms.mark)
            stats_add(&worker->stats->dropped_closed, 1);
}

void outbox_drop_pushes(struct worker *worker, struct conn *conn)
{
    const struct outbox *outbox = worker->outbox;
    const uint32_t place = hold_lost(worker, conn) ? 0 : *outbox_place(worker, conn);
    if (place == 0)
        return;
    struct target *target = target_at(outbox, place);
    uint32_t i = target->first;
    *target = (struct target){.ref = target->ref};
    for (uint32_t next; i; i = next) {
        next = item_at(outbox, i)->next;
        item_at(outbox, i)->next = 0;
        if (frame_at(outbox, item_at(outbox, i)->frame)->terms.mark)
            stats_add(&worker->stats->dropped_closed, 1);
        else
            target_append_item(outbox, target, i);
    }
}

void outbox_forget(struct worker *worker, struct conn *conn)
{
    const uint32_t place = find_connection_target(worker, conn);
    if (place == 0)
        return;
    struct target *target = target_at(worker->outbox, place);
    outbox_count_lost(worker, target->first);
    *target = (struct target){0};
    *outbox_place(worker, conn) = 0;
}

void outbox_reset(struct outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->frames.count; i++)
        chunk_unref(frame_at(outbox, i)->chunk);
    outbox->frames.count = 0;
    outbox->items.count = 1;
    outbox->targets.count = 1;
    outbox->used = 0;
    outbox->next = 1;
    outbox->partly = false;
    outbox->answers.count = 0;
}
