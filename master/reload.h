/*
 * SIGHUP: push.conf is read again. A file with mistakes changes nothing. Otherwise every worker
 * leaves its slot to a successor that has the new configuration: no connection is closed, no push
 * is lost, and the way is the one that a crash takes, too.
 */
#ifndef WSPUSHD_MASTER_RELOAD_H
#define WSPUSHD_MASTER_RELOAD_H

#include "master/master.h"

void reload(struct master *master);

#endif
