/*
 * What the master tells systemd, or whoever set $NOTIFY_SOCKET: sd_notify(3)'s protocol, which is
 * one datagram of KEY=VALUE lines.
 *
 *   READY=1       every worker's loop has turned once: clients are accepted. The way to Redis may
 *                 still be down, as it may at any time later; that is what /readyz and STATUS tell
 *   RELOADING=1   a reload or an upgrade begins, with MONOTONIC_USEC; READY=1 ends it, whatever
 *                 came of it. The pid stays, so nothing is said of that
 *   STATUS=       one line for `systemctl status`, whenever it has changed
 *   WATCHDOG=1    the master's loop turns; twice in $WATCHDOG_USEC
 *   STOPPING=1    the drain begins, with the time that it may take
 */
#ifndef WSPUSHD_MASTER_NOTIFY_H
#define WSPUSHD_MASTER_NOTIFY_H

#include "master/master.h"

/* Finds out whom to tell, and begins to feed the watchdog. Without $NOTIFY_SOCKET nothing is ever
 * sent. Returns 0, or -1 with errno. */
int notify_open(struct master *master);

/* The loop turns: before the period of the watchdog is over, and before execve. */
void notify_alive(void);

/* That period in microseconds, 0 for none: sd_watchdog_enabled(3). */
uint64_t notify_watchdog_usec(void);

/* Once a second: STATUS, if it has changed since READY. */
void notify_status(const struct master *master);

/* A change begins; every worker serves. */
void notify_reloading(void);
void notify_ready(const struct master *master);

/* The stop begins, and will take `seconds` at most. */
void notify_stopping(uint32_t seconds);

#endif
