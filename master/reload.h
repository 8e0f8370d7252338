/*
 * SIGHUP: push.conf is read again. A file with mistakes changes nothing, and neither does one with
 * a listener that cannot be opened. Otherwise every worker leaves its slot to a successor that has
 * the new configuration and accepts on the new listeners: no connection is closed, no push is lost,
 * and the way is the one that a crash takes, too.
 *
 *            reload        the last old worker is replaced:
 *     idle ----------> replacing ----------------------> idle
 *                        old listeners are closed
 *
 * One thing at a time: what is asked for meanwhile, another reload or an upgrade, comes after it.
 */
#ifndef WSPUSHD_MASTER_RELOAD_H
#define WSPUSHD_MASTER_RELOAD_H

#include "master/master.h"

enum reload_request { RELOAD_AGAIN, RELOAD_UPGRADE };

/* Begins to reload; while an upgrade or another reload is under way, notes that it is wanted. */
void reload(struct master *master);

/* Whether a reload is under way; if so, notes that the request is to be made again after it. */
bool reload_delays(enum reload_request request);

/* The upgrade that may have delayed a reload has failed. */
void reload_go_on(struct master *master);

/* The server stops: closes what a reload has still open. */
void reload_end(struct master *master);

#endif
