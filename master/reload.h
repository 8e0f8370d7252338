/*
 * SIGHUP: push.conf is read again. A file with mistakes changes nothing, and neither does one with
 * a listener that cannot be opened. Otherwise every worker leaves its slot to a successor that has
 * the new configuration and accepts on the new listeners: no connection is closed, no push is lost,
 * and the way is the one that a crash takes, too. Where the number of workers is another, the work
 * is shared anew when that is done (move.h).
 *
 *            reload        all are replaced
 *     idle ----------> replacing ------------------------> moving ----------------> idle
 *                        old listeners are closed,           all have taken what
 *                        the number is the same: idle        is theirs now
 *
 * A stop ends a move that can still go back, and waits for one that cannot.
 */
#ifndef WSPUSHD_MASTER_RELOAD_H
#define WSPUSHD_MASTER_RELOAD_H

#include "master/master.h"
#include "shm/board.h"

/* Once, before the first reload. Returns 0, or -1. */
int reload_open(struct master *master);

/* Begins to reload: one of the changes of change.h. */
void reload(struct master *master);

/* Whether a stop has to wait for the end of a move; if so, it begins after it. The second time it
 * need not wait. */
bool reload_delays_stop(struct master *master, enum ending ending);

/* The server stops: closes what a reload has still open. */
void reload_close(struct master *master);

#endif
