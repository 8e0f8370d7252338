/*
 * Creates worker processes that share the master's descriptor table.
 */
#ifndef WSPUSHD_MASTER_SPAWN_H
#define WSPUSHD_MASTER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Creates a child like fork(2). If `share`, the child uses the parent's descriptor table instead of
 * a copy (CLONE_FILES, clone(2)): a descriptor that one process opens or closes is open or closed
 * in all, and a socket outlives the process that accepted it. Returns as fork(2) does.
 */
pid_t spawn(bool share);

#endif
