/*
 * What this turn sends. A frame is encoded once into the arena; each connection that is to have
 * it gets a reference. At the end of the turn each connection has one system call for all its
 * frames; what the kernel does not take goes to the connection's backlog (hold.h).
 *
 *   arena    [ frame 0 ][ frame 1 ][ frame 2 ] ...
 *   frames   { offset, size, terms of a push, chunk once it had to wait }
 *   items    { frame, next }              a list for each connection
 *   targets  { reference, first and last item }
 *
 * While a frame waits to be sent, its connection's record.held leads to its target.
 */
#ifndef WSPUSHD_WORKER_OUTBOX_H
#define WSPUSHD_WORKER_OUTBOX_H

#include "proto/message.h"
#include "proto/ws.h"
#include "worker/worker.h"

/* A frame of this turn. Valid until the outbox is flushed, which only outbox_flush and
 * outbox_reserve do. */
typedef uint32_t frame_id;
enum { NO_FRAME = UINT32_MAX };

/* `payload_max`: the largest payload that a frame must be able to have, in any mode. */
struct outbox *outbox_new(size_t payload_max);

/* Makes room for the frames of one message of `len` bytes, in both modes, or for a few small
 * ones: call before encoding. Sends what is there if it must, and ends no connection: the caller
 * may have any in hand. What failed meanwhile, or waits for too much, ends with the turn. */
void outbox_reserve(struct worker *worker, size_t len);

/* What distinguishes a push from other frames. */
struct push_terms {
    uint64_t mark;       /* conn_mark; 0: it is no push */
    uint64_t expires_ms; /* monotonic; then it is dropped from backlogs. 0: never */
    uint64_t key;        /* takes the place of what waits with the same key; 0: of nothing */
};

/* Encode a frame: a push or another message in a connection's mode, a frame of the WebSocket
 * layer, a close frame, or bytes that are no frame (the answer to a handshake). */
frame_id outbox_push(struct worker *worker, const struct message *message, bool json,
                     const struct push_terms *terms);
frame_id outbox_message(struct worker *worker, const struct message *message, bool json);
frame_id outbox_frame(struct worker *worker, enum ws_opcode opcode, const void *payload,
                      size_t len);
frame_id outbox_close(struct worker *worker, uint16_t code, const char *reason);
frame_id outbox_bytes(struct worker *worker, const void *bytes, size_t len);

/* Appends the frame to what the connection gets at the end of this turn. */
void outbox_add(struct worker *worker, struct conn *conn, frame_id frame);

/* The same for HELLO, which goes before the pushes that may wait for it in the backlog. */
void outbox_greet(struct worker *worker, struct conn *conn, frame_id frame);

/* Whether the frame is the last that the connection gets in this turn so far. */
bool outbox_ends_with(const struct worker *worker, const struct conn *conn, frame_id frame);

/* Sends everything. A connection that fails is closed, one that is too slow is treated by policy:
 * so the caller has none in hand. */
void outbox_flush(struct worker *worker);

/*
 * Sends for as long as a slice takes (SLICE_MS), and returns whether that was everything. If not,
 * frames stay valid, and the next call goes on; what connections get meanwhile is sent by
 * outbox_flush_answers, together with what waits for the same connection.
 */
bool outbox_flush_slice(struct worker *worker);
void outbox_flush_answers(struct worker *worker);

/* Lets outbox_flush_answers send what waits for the connection, because the worker has read bytes
 * of it: until then it is dirty. */
void outbox_hurry(struct worker *worker, struct conn *conn);

/* How many deliveries wait; whether they are as many as one flush is good for. */
uint32_t outbox_items(const struct worker *worker);
bool outbox_is_full(const struct worker *worker);

/* The same as outbox_flush, and returns in how many backlogs one of these frames (or NO_FRAME)
 * waits then. */
uint32_t outbox_flush_and_count(struct worker *worker, const frame_id frame[2]);

/* The socket of a connection with a backlog has room again. */
void outbox_resume(struct worker *worker, struct conn *conn);

/* Drops the pushes that this turn has for a connection that is closed before its HELLO. */
void outbox_drop_pushes(struct worker *worker, struct conn *conn);

/* Forgets what this turn has for a connection that ends. */
void outbox_forget(struct worker *worker, struct conn *conn);

#endif
