/*
 * What a worker that leaves on purpose hands to its successor, and in a move (rehome.h) to whoever
 * gets its connections: their private memory (hold.h), and the memberships in topics of those that
 * go to another worker. It is written to a memfd that the slot names. After a kill there is none,
 * and connections with private memory are closed; after a reload or an upgrade nobody notices.
 * parcel_format.h draws it.
 */
#ifndef WSPUSHD_WORKER_PARCEL_H
#define WSPUSHD_WORKER_PARCEL_H

#include "worker/worker.h"

/* Writes the parcel and names it in the slot; the last thing that a leaving worker does before it
 * gives connections away. Those that have something in it and are to go bear CONN_GIVEN from then
 * on. Returns whether it was written: else what is private is lost as after a kill, and that is
 * logged. */
bool parcel_write(struct worker *worker);

/* Takes what the predecessor has left, if anything; in a move, what anybody has left for this
 * worker. Before takeover.c looks for connections whose bytes are lost. */
void parcel_take(struct worker *worker);

#endif
