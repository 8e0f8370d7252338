/*
 * Another number of workers, without closing a connection: the master's part of shm/plan.h, which
 * draws the way. It begins the phases one after another, starts the workers that are new, and those
 * that take over when all have left.
 *
 *   move_begin    all PREPARED   HELD      SETTLED    FENCED    all have left    TAKEN
 *     REST ---> PREPARE ---> HOLD ---> SETTLE ---> FENCE ---> GIVE ----------> TAKE ---> REST
 *      ^            |          |         |           |
 *      +------------+----------+---------+-----------+   move_cancel; or it takes too long
 */
#ifndef WSPUSHD_MASTER_MOVE_H
#define WSPUSHD_MASTER_MOVE_H

#include "master/master.h"

/* Begins to share the work among `workers`, a number of slots that there are. */
void move_begin(struct master *master, uint32_t workers);

/* Goes on where it can: called every millisecond. Returns whether the move is over. */
bool move_look(struct master *master);

/* Goes back, if that is still possible. Returns whether no move is under way any more. */
bool move_cancel(struct master *master, const char *why);

/* Whether the worker of the slot, which has ended in good order, has done what the plan asked of it
 * and need not be started again. */
bool move_lets_go(const struct master *master, uint32_t i);

#endif
