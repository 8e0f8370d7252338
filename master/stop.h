/*
 * The clean stop: drain, wait, exit.
 *
 *   stop_begin            all drained, or time is up        no worker left
 *     serving ----> draining ---------------------> stopping --------------> the loop ends
 *
 * The stop is either final or for a restart. Clients learn which by the close code
 * (worker/drain.h), and the process that started the server by the exit status.
 */
#ifndef WSPUSHD_MASTER_STOP_H
#define WSPUSHD_MASTER_STOP_H

#include "master/master.h"
#include "shm/board.h"

enum { EXIT_AGAIN = 3 /* exit status of a clean stop for a restart */ };

/* Begins to stop. A second call cuts the drain short; its `ending` is ignored. */
void stop_begin(struct master *master, enum ending ending);

/* Begins to stop for the new binary, which then replaces this one under the same pid. If its execve
 * fails, the process exits as for a restart; if stop_begin is called meanwhile, as that call says.
 */
void stop_begin_upgrade(struct master *master);

#endif
