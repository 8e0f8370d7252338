/*
 * The way back from an upgrade: until every worker of the new version serves, the version before
 * can take its place again, under the same pid and with the same descriptors, so that no client
 * notices either change.
 *
 *   old version                        new version: on probation
 *   rollback_offer ───── execve ─────▶ rollback_begin ─▶ every worker serves: rollback_end
 *                                         │
 *                                         │ it exits, or by a fatal signal; it does not take over
 *                                         │ in time; its workers do not serve: rollback_go
 *   rollback_reason: carries  ◀─ execveat ┘
 *   on, as after an upgrade
 *
 * Each has its own program open and leaves it to the next as a descriptor, for the file may be gone
 * by then. In the environment:
 *
 *   WSPUSHD_BEFORE="9 10 /usr/sbin/wspushd"  to the new version: that, a memfd with push.conf as
 *                                            the old one took it, and the program's path
 *   WSPUSHD_BINARY="/usr/sbin/wspushd"       back: the path, for the next upgrade
 *   WSPUSHD_CONFIG="10"                      back: push.conf, for the file may have changed since
 *   WSPUSHD_ROLLBACK="the new version ..."   back: why
 *
 * There is no way back where a worker of the new version has run on shared memory of another
 * layout. What could not even begin has been found by the trial (upgrade.h).
 */
#ifndef WSPUSHD_MASTER_ROLLBACK_H
#define WSPUSHD_MASTER_ROLLBACK_H

#include "master/master.h"

/* ---- In the old version ---- */

/* Right before execve: leaves this program to the new version, with its path and the text of
 * push.conf. */
void rollback_offer(const char *binary, const char *config);

/* execve has failed. */
void rollback_withdraw(void);

/* ---- In the new version ---- */

/* First of all: on probation from here on, where a way back is offered. Else opens this program, to
 * be offered. Borrows argv. */
void rollback_begin(char **argv);

/* It has taken over: from here on the master holds the descriptors, and workers that run are ended
 * first. Called again when it holds more. */
void rollback_arm(const struct master *master);

bool rollback_possible(void);

/* Goes back. Returns only where that is not possible. Async-signal-safe. */
void rollback_go(const char *why);

/* The probation is over. */
void rollback_end(void);

/* In a child: it is not the one to go back. */
void rollback_disown(void);

/* ---- In the old version, come back ---- */

/* The path of the program, malloc'ed; or NULL with errno. A deleted file has none of its own. */
char *rollback_binary(void);

/* Where it finds push.conf as it had it, or NULL where this is not the old one come back. */
const char *rollback_config(void);

/* Why the new version has failed, or NULL where this is not the old one come back. */
const char *rollback_reason(void);

#endif
