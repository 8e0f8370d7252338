/*
 * The final stop: drain, wait, leave.
 *
 *   stop_begin            all drained, or time is up        no worker left
 *     serving ----> draining ---------------------> stopping --------------> the loop ends
 */
#ifndef WSPUSHD_MASTER_STOP_H
#define WSPUSHD_MASTER_STOP_H

#include "master/master.h"

/* Begins to stop; a second call cuts the drain short. */
void stop_begin(struct master *master);

#endif
