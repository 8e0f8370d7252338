/*
 * What a worker that leaves on purpose hands to its successor: the private memory of its
 * connections (hold.h), written to a memfd that the slot names. After a kill there is none, and
 * such connections are closed; after a reload or an upgrade nobody notices.
 *
 *   +------+---------------------+---------------------+ ...
 *   | head | entry | in | frames | entry | in | frames |
 *   +------+---------------------+---------------------+ ...
 *
 *   head    struct parcel_head: whose memory it was
 *   entry   struct parcel_entry: which connection, the state of its receiver, sizes
 *   in      the part of a message, or of a request head, that has come
 *   frames  struct parcel_frame and the bytes, for each frame of the backlog
 */
#ifndef WSPUSHD_WORKER_PARCEL_H
#define WSPUSHD_WORKER_PARCEL_H

#include "worker/worker.h"

/* Writes the parcel and names it in the slot. The last thing that a leaving worker does. What
 * cannot be written is lost as after a kill, and logged. */
void parcel_write(struct worker *worker);

/* Takes what the predecessor has left, if anything. Before takeover.c looks for connections whose
 * bytes are lost. */
void parcel_take(struct worker *worker);

#endif
