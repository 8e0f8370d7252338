/*
 * Changes the number of workers without closing a connection. This is the master's part; shm/plan.h
 * describes all phases. The master begins the phases one after another, starts additional workers,
 * and restarts the workers that take over once all have left.
 *
 *   move_begin    all PREPARED   HELD      SETTLED    FENCED    all have left    TAKEN
 *     REST ---> PREPARE ---> HOLD ---> SETTLE ---> FENCE ---> GIVE ----------> TAKE ---> REST
 *      ^            |          |         |           |
 *      +------------+----------+---------+-----------+   move_cancel, or a timeout
 */
#ifndef WSPUSHD_MASTER_MOVE_H
#define WSPUSHD_MASTER_MOVE_H

#include "master/master.h"

/* Begins to distribute the work among `workers` workers, at most master->slots. */
void move_begin(struct master *master, uint32_t workers);

/* Begins the next phase if all workers have finished this one. Call every millisecond. True if the
 * move is over. */
bool move_look(struct master *master);

/* Cancels the move if that is still possible; logs `why`. True if no move is in progress any more.
 */
bool move_cancel(struct master *master, const char *why);

/* True if the slot's worker, which has exited with status 0, did so as the plan requires and must
 * not be started again. */
bool move_lets_go(const struct master *master, uint32_t i);

#endif
