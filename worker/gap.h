/*
 * GAP: tells clients that pushes may have been lost on the way from Redis.
 *
 * The table shows which link fails, how workers know until clients have been told (in shared
 * memory, so that a successor can tell them), which clients are concerned, and when it is over:
 *
 *   the link of          known by                        concerns           over
 *   -------------------  ------------------------------  -----------------  -----------------
 *   this worker          gap_since is not 0              all its clients    the link is UP
 *   the node's home      home_told != home's failures    all its clients    ... and NODE_READY
 *   any other worker     gap_seen != their failures      those in topics    every link is UP
 *
 * An outage of Redis is all three at once, and ends at three moments. A client gets one GAP for it,
 * at the last of them that concerns a client of this worker: an outage that is over waits
 * OVERLAP_MS for those that are not.
 */
#ifndef WSPUSHD_WORKER_GAP_H
#define WSPUSHD_WORKER_GAP_H

#include "worker/worker.h"

/* Sends GAP to the clients concerned once the outage is over. Called at the end of a turn. */
void gap_turn(struct worker *worker);

/* For a change of the number of workers (move.h): hand the GAPs that this worker's clients have not
 * been told of yet to their next worker, and take over those of clients that have arrived. */
void gap_leave(struct worker *worker);
void gap_take(struct worker *worker);

#endif
