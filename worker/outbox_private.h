/*
 * The inside of the outbox, for outbox.c and outbox_send.c only: the frames that this turn has
 * gathered, and the lists that lead to them.
 */
#ifndef WSPUSHD_WORKER_OUTBOX_PRIVATE_H
#define WSPUSHD_WORKER_OUTBOX_PRIVATE_H

#include "worker/outbox.h"
#include "worker/queue.h"

#include <stddef.h>

struct frame {
    uint32_t offset, size;
    struct push_terms terms; /* all 0: not a push */
    struct chunk *chunk;     /* a copy of the bytes on the heap, once a connection had to wait */
};

struct item {
    frame_id frame;
    uint32_t next; /* 0: the last */
};

struct target {
    struct conn_ref ref;
    uint32_t first, last;
};

/* A connection to which an early flush has sent. */
struct unsettled {
    struct conn_ref ref;
    bool gone; /* it has failed */
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
    struct array unsettled; /* connections settled by the next flush that is not early */
    uint32_t next;          /* the target at which the flush goes on */
    bool early;             /* being flushed within a turn, while callers use connections */
    bool partly;            /* a slice was sent, and there is more */
    struct queue answers;   /* indices of targets that got something since: they are sent first */
};

/* Leaves the consequences of a send (end, backlog limit, clean state) to the end of the next flush
 * that is not early. */
void outbox_settle_later(struct worker *worker, const struct conn *conn, bool gone);

static inline struct frame *frame_at(const struct outbox *outbox, frame_id id)
{
    return (struct frame *)outbox->frames.at + id;
}

static inline struct item *item_at(const struct outbox *outbox, uint32_t i)
{
    return (struct item *)outbox->items.at + i;
}

static inline struct target *target_at(const struct outbox *outbox, uint32_t i)
{
    return (struct target *)outbox->targets.at + i;
}

/* Returns the word that holds the index of the connection's target: in its hold if it has one, else
 * in its record, which from then on carries this process's incarnation. Do not call it for a
 * connection whose bytes are lost (hold_lost): no process would know of the loss any more. */
uint32_t *outbox_place(struct worker *worker, struct conn *conn);

/* Counts the pushes from item i on as lost, because their connection is gone. */
void outbox_count_lost(struct worker *worker, uint32_t i);

/* Empties the outbox. */
void outbox_reset(struct outbox *outbox);

#endif
