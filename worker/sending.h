/*
 * The send to a client that is under way, noted in the slot: so that a successor can tell what a
 * client has got from a worker that died before it could note it. The kernel counts what it took;
 * the segment has, for each connection, what it had taken before (`sent`).
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

/* Frames are about to be sent to a client; `mark`: of the last push among them, or 0; `early`: in
 * the middle of something, so that it may be dirty for other reasons. */
void sending_begin(struct worker *worker, struct conn_ref ref, uint64_t mark, bool early);

/* Once the next system call has taken all of its bytes, `whole` bytes have left since
 * sending_begin, and these are all; 0: there are more. */
void sending_whole(struct worker *worker, size_t whole);

/* They have left, or wait in the backlog: a HELLO among them makes the connection OPEN, the last
 * push is not sent to it again. */
void sending_note(struct worker *worker, struct conn *conn, uint64_t mark);

/* All of it is noted. */
void sending_end(struct worker *worker);

/* A connection from a segment of an older layout, which did not count: makes its count the
 * kernel's. */
void sending_catch_up(struct worker *worker, const struct conn *conn);

/* After a death: makes up for what the dead worker did not come to note. Returns the connection if
 * it is in the middle of a frame whose rest is lost, or NULL. */
struct conn *sending_recover(struct worker *worker);

#endif
