/*
 * The end of service: drain, wait, leave.
 *
 *   stop_begin            all drained, or time is up        no worker left
 *     serving ----> draining ---------------------> stopping --------------> the loop ends
 *
 * It is for good, or because the server is about to be started again: that tells clients by the
 * close code (worker/drain.h), and whoever started the server by its exit status.
 */
#ifndef WSPUSHD_MASTER_STOP_H
#define WSPUSHD_MASTER_STOP_H

#include "master/master.h"
#include "shm/board.h"

enum { EXIT_AGAIN = 3 /* a clean stop: to be started again */ };

/* Begins to stop; a second call cuts the drain short, and what it is for stays as it was. */
void stop_begin(struct master *master, enum ending ending);

/* Begins to stop for another binary, which then takes this one's place under the same pid. Where
 * that cannot be had, it ends as a restart does; where stop_begin is called meanwhile, as that
 * says.
 */
void stop_begin_upgrade(struct master *master);

#endif
