/*
 * The signals of the table are blocked and read from a signalfd(2) within the loop, so none of them
 * has a handler. Fatal signals have one until a new version serves (rollback.h).
 */
#ifndef WSPUSHD_MASTER_SIGNALS_H
#define WSPUSHD_MASTER_SIGNALS_H

#include "master/master.h"

/* Blocks the table's signals and watches for them. Returns 0, or -1 with errno. */
int signals_open(struct master *master);

#endif
