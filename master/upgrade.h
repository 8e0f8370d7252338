/*
 * SIGUSR2: the binary is replaced under the same pid, and no client notices.
 *
 *   1. try       a child runs the new binary with -t: it must start, accept push.conf, know the
 *                segment's layout, and agree on the keys that need a restart; what it prints is the
 *                reason where it does not
 *   2. leave     every worker leaves its slot, as for a reload
 *   3. exec      execve(2): the segment, listening sockets, epoll sets (the slots', and those of
 *                their event bases: base.h), links and clients stay open; everything else is closed
 *                by close-on-exec (handover.h)
 *   4. resume    the new master maps the segment and starts workers, who take the slots over
 *   5. or back   unless every worker serves in the end, the version before takes over in the same
 *                way (rollback.h)
 *
 * Where the new version has another layout, it carries the segment over in 4 (shm/migrate.h). Where
 * it cannot, for its layout and ours are too far apart, the upgrade becomes a restart under the
 * same pid: clients are told as for one (worker/drain.h), and the new version finds the listening
 * sockets, on which clients may wait already, and no segment.
 *
 *      trial: "another layout" ─▶ drain: BYE, 1012 ─▶ execve ─▶ an ordinary start
 *
 * Whatever fails in 1 changes nothing, and what fails in 3 to 5 lets the old version go on; the log
 * and the board (change.h) say why.
 */
#ifndef WSPUSHD_MASTER_UPGRADE_H
#define WSPUSHD_MASTER_UPGRADE_H

#include "master/master.h"

/* Before the first worker: makes what a trial needs. Returns 0, or -1 with errno. */
int upgrade_open(void);

/* Step 1. */
void upgrade_begin(struct master *master);

/* The trial has ended with this wait status: step 2, or the end of it. */
void upgrade_tried(struct master *master, int status);

/* The last worker has left: step 3. Returns only where execve fails. */
void upgrade_exec(struct master *master);

/* Not every worker of this new version serves: step 5, where rollback_possible. Returns only where
 * execve fails. */
void upgrade_go_back(struct master *master);

/* The drain of a restart is over: the new version begins anew. Returns only where execve fails. */
void upgrade_exec_anew(const struct master *master);

/* Whether this process is a trial or the new version, and so must not close what it inherited. */
bool upgrade_inherits(void);

/* In a trial: whether this binary and this configuration can take over. Prints why not. Returns the
 * status to exit with, or 0. Nothing is asked where it is none. */
int upgrade_check(const struct config *config);

#endif
