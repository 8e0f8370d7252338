/*
 * Rolls back a failed upgrade: until every worker of the new version serves, the previous version
 * can take over again, under the same pid and with the same descriptors. Clients notice neither
 * change.
 *
 *   old version                        new version: on probation
 *   rollback_offer ───── execve ─────▶ rollback_begin ─▶ every worker serves: rollback_end
 *                                         │
 *                                         │ it exits or gets a fatal signal; it does not take
 *                                         │ over in time; its workers do not serve: rollback_go
 *   rollback_reason: resumes  ◀─ execveat ┘
 *   as after an upgrade
 *
 * Each version keeps its own executable open and passes the descriptor to the next version, because
 * the file may be deleted by then. Environment variables:
 *
 *   WSPUSHD_BEFORE="9 10 /usr/sbin/wspushd"  to the new version: the old executable, a memfd with
 *                                            the old version's push.conf, the executable's path
 *   WSPUSHD_BINARY="/usr/sbin/wspushd"       back: the path, for the next upgrade
 *   WSPUSHD_CONFIG="10"                      back: push.conf, because the file may have changed
 *   WSPUSHD_ROLLBACK="the new version ..."   back: why
 *
 * A rollback is impossible once a worker of the new version has run on shared memory of another
 * layout. A new version that cannot even start is refused by the trial (upgrade.h).
 */
#ifndef WSPUSHD_MASTER_ROLLBACK_H
#define WSPUSHD_MASTER_ROLLBACK_H

#include "master/master.h"

/* ---- In the old version ---- */

/* Call right before execve: offers this executable, its path and the text of push.conf to the new
 * version. `binary`: the path. `config`: the text. */
void rollback_offer(const char *binary, const char *config);

/* Withdraws the offer, after execve has failed. */
void rollback_withdraw(void);

/* ---- In the new version ---- */

/* Call first in main: begins the probation if the previous version offers a rollback; otherwise
 * opens this executable, to offer it later. Borrows argv. */
void rollback_begin(char **argv);

/* Call when the new version has taken over the descriptors, and again when it has opened more: from
 * then on a rollback hands over the master's descriptors, after killing running workers. */
void rollback_arm(const struct master *master);

/* True if this is a new version on probation. */
bool rollback_possible(void);

/* Rolls back; `why` is passed to the previous version. Returns only if that fails.
 * Async-signal-safe. */
void rollback_go(const char *why);

/* Ends the probation and makes a rollback impossible. */
void rollback_end(void);

/* Call in a child process: it must not roll back. */
void rollback_disown(void);

/* ---- In the old version, after a rollback ---- */

/* Returns the path of this executable, owned, or NULL with errno. After a rollback it is the path
 * that was passed on, because the file may be deleted. */
char *rollback_binary(void);

/* Returns the path of this version's own copy of push.conf, static; NULL without a rollback.
 */
const char *rollback_config(void);

/* Returns the reason for the rollback, owned; NULL without a rollback. */
const char *rollback_reason(void);

#endif
