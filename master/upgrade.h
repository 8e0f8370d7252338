/*
 * SIGUSR2: replaces the binary under the same pid, without clients noticing.
 *
 *   1. try       a child runs the new binary with -t: it must start, accept push.conf, know the
 *                segment's layout, and have the same values of keys that need a restart; if it
 *                fails, its output is the reason
 *   2. leave     every worker leaves its slot, as for a reload
 *   3. exec      execve(2): the segment, listening sockets, epoll sets (the slots', and those of
 *                their event bases: base.h), links and clients stay open; everything else is closed
 *                by close-on-exec (handover.h)
 *   4. resume    the new master maps the segment and starts workers, which take over the slots
 *   5. or back   unless every worker serves in time, the previous version takes over again, in the
 *                same way (rollback.h)
 *
 * If the new version has another layout, it migrates the segment in step 4 (shm/migrate.h). If it
 * cannot migrate this layout, the upgrade becomes a restart under the same pid: clients are
 * notified as for any restart (worker/drain.h), and the new version inherits only the listening
 * sockets, on which clients may already wait, but no segment.
 *
 *      trial: "another layout" ─▶ drain: BYE, 1012 ─▶ execve ─▶ an ordinary start
 *
 * A failure in step 1 changes nothing, and after a failure in steps 3 to 5 the old version
 * continues; the log and the board (change.h) say why.
 */
#ifndef WSPUSHD_MASTER_UPGRADE_H
#define WSPUSHD_MASTER_UPGRADE_H

#include "master/master.h"

/* Call before the first worker starts: creates the file for a trial's output. Returns 0, or -1 with
 * errno. */
int upgrade_open(void);

/* Begins an upgrade: step 1. Its end is reported by change_end. */
void upgrade_begin(struct master *master);

/* Call when the trial has ended, with its wait status: begins step 2, or refuses the upgrade. */
void upgrade_tried(struct master *master, int status);

/* Call when the last worker has left: step 3. Returns only if execve fails; then workers run again.
 */
void upgrade_exec(struct master *master);

/* Call in the new version if not every worker serves, while rollback_possible: step 5. Returns only
 * if execve fails; then the new version continues. */
void upgrade_go_back(struct master *master);

/* Call after the drain of a restart: starts the new version without a segment. Returns only if
 * execve fails. */
void upgrade_exec_anew(const struct master *master);

/* True if this process is a trial or a new version, which must not close inherited descriptors. */
bool upgrade_inherits(void);

/* In a trial: checks that this binary with this configuration can take over, or prints why not.
 * Returns the exit status of the trial. Always 0 if this process is not a trial. */
int upgrade_check(const struct config *config);

#endif
