/*
 * The end of this process, as the master commands it: it leaves its slot to a successor, and no
 * client notices; or service ends, and each client is told when to come back, BYE, and closed:
 * with 1001 where the end is for good, with 1012 where the server is about to be started again.
 */
#ifndef WSPUSHD_WORKER_DRAIN_H
#define WSPUSHD_WORKER_DRAIN_H

#include "worker/worker.h"

/* End of a turn: does what the master's command asks for, and says so in the slot when it is
 * done. `reason` of BYE is "drain", or "restart". */
void drain_turn(struct worker *worker);

#endif
