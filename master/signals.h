/*
 * Signals, by a table, read from a signalfd(2) within the loop: no handler ever runs.
 */
#ifndef WSPUSHD_MASTER_SIGNALS_H
#define WSPUSHD_MASTER_SIGNALS_H

#include "master/master.h"

/* Blocks the table's signals and watches for them. Returns 0, or -1 with errno. */
int signals_open(struct master *master);

#endif
