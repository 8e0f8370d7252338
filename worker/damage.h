/*
 * Damaged connection records. Shared memory has no walls: a faulty process can write anywhere in
 * it. A record in a state that this program cannot produce is given up with its connection, before
 * it misleads its owner, and the data derived from the records is rebuilt.
 */
#ifndef WSPUSHD_WORKER_DAMAGE_H
#define WSPUSHD_WORKER_DAMAGE_H

#include "worker/worker.h"

/* True if the record of descriptor `fd`, whose owner is this worker, can be right: it was claimed
 * (conn_claim), which never happens to the server's own descriptors, and its state and flags are
 * consistent. */
bool damage_is_none(const struct worker *worker, uint32_t fd);

/* Gives up this worker's record of descriptor `fd`, and closes the connection if the descriptor is
 * a client's in this worker's epoll set. Rebuilds counts and indexes. Logs it. */
void damage_confine(struct worker *worker, uint32_t fd);

#endif
