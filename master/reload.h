/*
 * SIGHUP: reads push.conf again. If the file has errors, or if a listener cannot be opened, nothing
 * changes. Otherwise every worker leaves its slot to a successor that has the new configuration and
 * accepts on the new listeners. No connection is closed and no push is lost, because the successor
 * takes over as after a crash. If the number of workers changes, the work is then redistributed
 * (move.h).
 *
 *            reload        all are replaced
 *     idle ----------> replacing ------------------------> moving ----------------> idle
 *                        old listeners are closed;           all have taken over
 *                        the number is the same: idle        their connections
 *
 * A stop cancels a move if that is still possible, and otherwise waits for its end.
 */
#ifndef WSPUSHD_MASTER_RELOAD_H
#define WSPUSHD_MASTER_RELOAD_H

#include "master/master.h"
#include "shm/board.h"

/* Call once, before the first reload. Returns 0, or -1. */
int reload_open(struct master *master);

/* Begins a reload: one of the changes of change.h. */
void reload(struct master *master);

/* True if a stop must wait for the end of a move; then the stop begins after it. A second call
 * cannot be delayed. */
bool reload_delays_stop(struct master *master, enum ending ending);

/* Closes the old listeners of an unfinished reload, when the server stops. */
void reload_close(struct master *master);

#endif
