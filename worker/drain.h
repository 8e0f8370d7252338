/*
 * The end of this process at the master's command. Either it leaves its slot to a successor, and no
 * client notices; or service ends, and each client is sent BYE, which says when to reconnect, and
 * is closed: with 1001 if the server stops for good, with 1012 if it is about to be restarted.
 */
#ifndef WSPUSHD_WORKER_DRAIN_H
#define WSPUSHD_WORKER_DRAIN_H

#include "worker/worker.h"

/* Carries out the master's command, and reports in the slot when that is done. Called at the end of
 * a turn. The `reason` in BYE is "drain" or "restart". */
void drain_turn(struct worker *worker);

#endif
