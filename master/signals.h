/*
 * Handles the master's signals: they are blocked and read from a signalfd(2) in the event loop, so
 * none of them has a signal handler. Only fatal signals have one, until a new version serves
 * (rollback.h).
 */
#ifndef WSPUSHD_MASTER_SIGNALS_H
#define WSPUSHD_MASTER_SIGNALS_H

#include "master/master.h"

/* Blocks the signals of the table in signals.c and handles them in the loop. Returns 0, or -1 with
 * errno. */
int signals_open(struct master *master);

#endif
