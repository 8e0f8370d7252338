/*
 * GAP: the clients are told when pushes may have been lost on the way from Redis.
 *
 * What fails, how that is known until it has been told (in shared memory, so that a successor tells
 * it), whom it concerns, and when it is over:
 *
 *   the link of          known by                        concerns           over
 *   -------------------  ------------------------------  -----------------  -----------------
 *   this worker          gap_since is not 0              all its clients    the link is UP
 *   the node's home      home_told is not its failures   all its clients    ... and NODE_READY
 *   any other worker     gap_seen is not their failures  those in topics    every link is UP
 *
 * An outage of Redis is all three at once, and over at three moments. A client gets one GAP for it,
 * at the last of them that concerns anybody here: what is over waits OVERLAP_MS for what is not.
 */
#ifndef WSPUSHD_WORKER_GAP_H
#define WSPUSHD_WORKER_GAP_H

#include "worker/worker.h"

/* End of a turn: sends GAP to whom there is to be told, when it is over. */
void gap_turn(struct worker *worker);

/* The number of workers changes (move.h): what this worker's clients are still to be told of goes
 * with them; and what those who have come are to be told of is known to this one. */
void gap_leave(struct worker *worker);
void gap_take(struct worker *worker);

#endif
