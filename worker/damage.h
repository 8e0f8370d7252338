/*
 * Records that something has written over. Shared memory has no walls: a process that goes wrong
 * can write anywhere in it. A record that no instruction of this program can have left is given up
 * with its connection, before it misleads its owner, and what is derived from the records is made
 * again.
 */
#ifndef WSPUSHD_WORKER_DAMAGE_H
#define WSPUSHD_WORKER_DAMAGE_H

#include "worker/worker.h"

/* True if the record of descriptor `fd`, which says that it is this worker's, can be right: it was
 * claimed once (conn_claim), which no descriptor of the server's own ever is, and its state and
 * flags go together. */
bool damage_is_none(const struct worker *worker, uint32_t fd);

/* Gives up this worker's record of descriptor `fd`, and ends the connection if the descriptor is a
 * client's in this worker's set. Counts and indexes are made again. Logs it. */
void damage_confine(struct worker *worker, uint32_t fd);

#endif
