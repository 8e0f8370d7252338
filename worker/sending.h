/*
 * The send to a client that is in progress, noted in the slot so that a successor can tell how much
 * the client got from a worker that died before it could note the result. The kernel counts the
 * bytes that it took; the segment has, for each connection, the count before the send (`sent`).
 *
 *      begin          whole            system call      sent += n        note          end
 *   ref, from, mark   how much      ── the kernel's ──▶              mark, OPEN      ref = 0
 *   |                                   count grows
 *   +-- died anywhere here: kernel's count - from =   0      nothing has left
 *                                                     whole  everything has: note is made up for
 *                                                     else   a part: the connection is lost
 */
#ifndef WSPUSHD_WORKER_SENDING_H
#define WSPUSHD_WORKER_SENDING_H

#include "worker/worker.h"

#include <stddef.h>

/* Notes that frames are about to be sent to a client. `mark`: of the last push among them, or 0.
 * `early`: the flush happens within a turn, so the connection may be dirty for other reasons. */
void sending_begin(struct worker *worker, struct conn_ref ref, uint64_t mark, bool early);

/* Notes that the next system call, if it takes all its bytes, completes the `whole` bytes sent
 * since sending_begin; 0: more bytes follow. */
void sending_whole(struct worker *worker, size_t whole);

/* Notes that the frames have left or are in the backlog: a HELLO among them makes the connection
 * OPEN, and the last push is not sent to it again. */
void sending_note(struct worker *worker, struct conn *conn, uint64_t mark);

/* Ends the note of the send. */
void sending_end(struct worker *worker);

/* Sets the count of a connection from a segment of an older layout, which had none, to the
 * kernel's. */
void sending_catch_up(struct worker *worker, const struct conn *conn);

/* After a death: notes the result of a send that the dead worker did not. Returns the connection if
 * it is in the middle of a frame whose remainder is lost, or NULL. */
struct conn *sending_recover(struct worker *worker);

#endif
