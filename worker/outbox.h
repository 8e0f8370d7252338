/*
 * The frames that this turn sends. A frame is encoded once into the arena, and each recipient gets
 * a reference to it. At the end of the turn one system call for each connection sends all its
 * frames; the rest, which the kernel did not take, goes to the connection's backlog (hold.h).
 *
 *   arena    [ frame 0 ][ frame 1 ][ frame 2 ] ...
 *   frames   { offset, size, terms of a push, chunk once it is in a backlog }
 *   items    { frame, next }              a list for each connection
 *   targets  { reference, first and last item }
 *
 * While a connection has frames to send, its record.held is the index of its target.
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

/* Returns a new outbox, or NULL if memory is short. `payload_max`: bytes of the largest payload of
 * a frame, in any mode. */
struct outbox *outbox_new(size_t payload_max);

/* Makes room for the frames of one message of `len` bytes, in both modes, or for a few small ones:
 * call it before encoding. May send the present frames, but ends no connection, because the caller
 * may be using one; connections that fail or exceed their backlog meanwhile end with the turn. */
void outbox_reserve(struct worker *worker, size_t len);

/* The properties that only a push has. */
struct push_terms {
    uint64_t mark;       /* conn_mark(); 0: not a push */
    uint64_t expires_ms; /* monotonic; dropped from backlogs after that time. 0: never */
    uint64_t key;        /* replaces a waiting push with the same key; 0: replaces none */
};

/* Encode a frame: a push or another message in a connection's mode, a frame of the WebSocket layer,
 * a close frame, or raw bytes (the response to a handshake). */
frame_id outbox_push(struct worker *worker, const struct message *message, bool json,
                     const struct push_terms *terms);
frame_id outbox_message(struct worker *worker, const struct message *message, bool json);
frame_id outbox_frame(struct worker *worker, enum ws_opcode opcode, const void *payload,
                      size_t len);
frame_id outbox_close(struct worker *worker, uint16_t code, const char *reason);
frame_id outbox_bytes(struct worker *worker, const void *bytes, size_t len);

/* Appends the frame to those that the connection gets at the end of this turn. */
void outbox_add(struct worker *worker, struct conn *conn, frame_id frame);

/* Does the same for HELLO, which goes ahead of pushes that wait for it in the backlog. */
void outbox_greet(struct worker *worker, struct conn *conn, frame_id frame);

/* True if the frame is the last one gathered for the connection in this turn so far. */
bool outbox_ends_with(const struct worker *worker, const struct conn *conn, frame_id frame);

/* Sends everything. Closes connections that fail and applies the policy to those that are too slow,
 * so the caller must not be using a connection. */
void outbox_flush(struct worker *worker);

/*
 * Sends for at most one slice (SLICE_MS), and returns true if everything was sent. If not, frames
 * stay valid and the next call goes on. Frames that connections get in between are sent by
 * outbox_flush_answers, together with older frames of the same connection.
 */
bool outbox_flush_slice(struct worker *worker);
void outbox_flush_answers(struct worker *worker);

/* Lets outbox_flush_answers send the connection's frames: the worker has read bytes from it, and it
 * is dirty until they are sent. */
void outbox_hurry(struct worker *worker, struct conn *conn);

/* Returns the number of gathered deliveries; true if there are enough for one flush. */
uint32_t outbox_items(const struct worker *worker);
bool outbox_is_full(const struct worker *worker);

/* Does the same as outbox_flush, and returns the number of backlogs in which one of these frames
 * (or NO_FRAME) then waits. */
uint32_t outbox_flush_and_count(struct worker *worker, const frame_id frame[2]);

/* Sends the backlog of a connection whose socket has room again. */
void outbox_resume(struct worker *worker, struct conn *conn);

/* Drops the pushes that this turn has for a connection that is closed before its HELLO. */
void outbox_drop_pushes(struct worker *worker, struct conn *conn);

/* Forgets everything that this turn has for a connection that ends. */
void outbox_forget(struct worker *worker, struct conn *conn);

#endif
