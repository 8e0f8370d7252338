/*
 * A process that shares the descriptor table.
 */
#ifndef WSPUSHD_MASTER_SPAWN_H
#define WSPUSHD_MASTER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Like fork(2), but with `share` the child has the parent's descriptor table and not a copy
 * (CLONE_FILES, clone(2)): what one opens or closes is open or closed for all, and a socket
 * outlives the process that accepted it. Returns as fork does.
 */
pid_t spawn(bool share);

#endif
