/*
 * The handover of an upgrade: what one version of the server passes to the next through execve(2).
 * These are open descriptors, and an environment variable that lists them:
 *
 *   WSPUSHD_UPGRADE="5 7 8 21 23"   an upgrade: the segment; then listening sockets and the epoll
 *                                   sets of the workers' event bases (base.h), in any order
 *   WSPUSHD_UPGRADE="-4 7 8"        a restart, for upgrade number 4: listening sockets
 *
 * All other descriptors are recorded in the segment: each slot's own, and the clients' by their
 * records. The new version recognises a listed descriptor by the address that it is bound to or the
 * epoll set that it watches.
 */
#ifndef WSPUSHD_MASTER_HANDOVER_H
#define WSPUSHD_MASTER_HANDOVER_H

#include "master/master.h"

#define HANDOVER_VARIABLE "WSPUSHD_UPGRADE"

/* ---- Before execve ---- */

/* Sets close-on-exec on all descriptors except those that an upgrade hands over. `clients`: false
 * for a restart, whose clients are gone: then no descriptor stays open. Async-signal-safe. */
void handover_prepare(const struct master *master, bool clients);

/* Returns the variable's value, owned, or NULL with errno. `first` is its first number. */
char *handover_text(const struct master *master, int first);

/* Clears close-on-exec on the descriptors that the value lists. Async-signal-safe. */
void handover_keep(const char *text);

/* ---- After it ---- */

/* True if the variable is set: then inherited descriptors must not be closed. */
bool handover_is_due(void);

/* Takes over the segment. Returns 1; 0 if there is none, because this is an ordinary start or a
 * restart; or -1 with errno. If the segment had another layout, the original stays open until
 * handover_end, for a rollback (rollback.h). */
int handover_take_up(struct master *master);

/* After a restart for an upgrade, continues the new segment's board with the number of that
 * upgrade. */
void handover_carry_on(const struct master *master);

/* True if this start is the second half of an upgrade; and if that upgrade is a restart. */
bool handover_resumed(void);
bool handover_restarted(void);

/* Returns the first number of the variable's value, or 0 if it was not set. */
int handover_first(void);

/* True if the handed-over segment has this version's layout, so that it is in use unchanged. Call
 * before handover_end. */
bool handover_is_same(void);

/* Takes the handed-over listening socket that is bound to `address`. Returns it, or -1. */
int handover_listener(const struct listen_address *address);

/* Takes the handed-over epoll set that watches the slot's set (base.h). Returns it, or -1. */
int handover_set(const struct slot *slot);

/* True if the variable listed the descriptor, taken or not: it must stay open while a rollback is
 * possible. */
bool handover_brought(int fd);

/* Closes the listed descriptors that were not taken: after a restart for an upgrade, push.conf may
 * have changed. Nothing can be taken afterwards. */
void handover_close_others(void);

/* Closes the original of a migrated segment. Call when a rollback has become impossible. */
void handover_end(void);

#endif
