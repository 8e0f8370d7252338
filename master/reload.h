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
 * One thing at a time: what is asked for meanwhile, another reload or an upgrade, comes after it. A
 * stop ends a move that can still go back, and waits for one that cannot.
 */
#ifndef WSPUSHD_MASTER_RELOAD_H
#define WSPUSHD_MASTER_RELOAD_H

#include "master/master.h"

enum reload_request { RELOAD_AGAIN, RELOAD_UPGRADE, RELOAD_STOP, RELOAD_REQUESTS };

/* Begins to reload; while an upgrade or another reload is under way, notes that it is wanted. */
void reload(struct master *master);

/* Whether a reload is under way; if so, notes that the request is to be made again after it. */
bool reload_delays(enum reload_request request);

/* Whether a stop has to wait for the end of a move; if so, it is made again after it. The second
 * time it need not wait. */
bool reload_delays_stop(struct master *master);

/* The upgrade that may have delayed a reload has failed. */
void reload_go_on(struct master *master);

/* The server stops: closes what a reload has still open. */
void reload_end(struct master *master);

#endif
