/*
 * What goes through execve(2) from one version of the server to another: open descriptors, and the
 * environment variable that says which of them are what.
 *
 *   WSPUSHD_UPGRADE="5 7 8 21 23"   an upgrade: the segment; then listening sockets and the epoll
 *                                   sets of the workers' event bases (base.h), in any order
 *   WSPUSHD_UPGRADE="-4 7 8"        a restart, for upgrade number 4: listening sockets
 *
 * The rest stands in the segment: each slot's descriptors, and the clients' by their records. Which
 * of those named is which they say themselves.
 */
#ifndef WSPUSHD_MASTER_HANDOVER_H
#define WSPUSHD_MASTER_HANDOVER_H

#include "master/master.h"

#define HANDOVER_VARIABLE "WSPUSHD_UPGRADE"

/* ---- Before execve ---- */

/* What an upgrade hands over stays open, everything else is closed by close-on-exec; `clients`: of
 * a restart, whose clients are gone, nothing stays. Async-signal-safe. */
void handover_prepare(const struct master *master, bool clients);

/* The variable's value, malloc'ed, or NULL with errno. `first` is its first number. */
char *handover_text(const struct master *master, int first);

/* What the value names stays open, too. Async-signal-safe. */
void handover_keep(const char *text);

/* ---- After it ---- */

/* Whether there is anything, so that nothing may be closed that was inherited. */
bool handover_is_due(void);

/* Takes the segment over. Returns 1, 0 where there is none to be had, for this is an ordinary start
 * or a restart, -1 with errno. A segment of another layout stays open beside the one that it has
 * become, for the way back (rollback.h), until handover_end. */
int handover_take_up(struct master *master);

/* Where it is a restart for an upgrade: the new segment's board goes on with the number that was
 * asked for. */
void handover_carry_on(const struct master *master);

/* Whether this start is the second half of an upgrade; and whether of one that is a restart. */
bool handover_resumed(void);
bool handover_restarted(void);

/* The first number of the value; 0: there was none. */
int handover_first(void);

/* Whether the segment that was named is of this version's layout, and so the one in use. Asked
 * before handover_end. */
bool handover_is_same(void);

/* The inherited listening socket that is bound to `address`, or -1. */
int handover_listener(const struct listen_address *address);

/* The inherited epoll set that watches the slot's, or -1: base.h. */
int handover_set(const struct slot *slot);

/* Whether a descriptor was named, taken or not: while this start may fail it is not closed. */
bool handover_brought(int fd);

/* Nothing is taken any more: closes what nobody has taken. push.conf may have changed where the
 * upgrade is a restart. */
void handover_close_others(void);

/* There is no way back any more. */
void handover_end(void);

#endif
