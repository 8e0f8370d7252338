/*
 * Notifies systemd, or another supervisor that sets $NOTIFY_SOCKET, by the protocol of
 * sd_notify(3): datagrams of KEY=VALUE lines.
 *
 *   READY=1       every worker's loop has turned once: clients are accepted. Redis may be
 *                 unreachable, as it may be at any later time; /readyz and STATUS show that
 *   RELOADING=1   a reload or an upgrade begins, with MONOTONIC_USEC; READY=1 ends it, whatever its
 *                 outcome. MAINPID is not sent, because the pid does not change
 *   STATUS=       one line for `systemctl status`, whenever it has changed
 *   WATCHDOG=1    the master's loop turns; twice per $WATCHDOG_USEC
 *   STOPPING=1    the drain begins, with the time that it may take
 */
#ifndef WSPUSHD_MASTER_NOTIFY_H
#define WSPUSHD_MASTER_NOTIFY_H

#include "master/master.h"

/* Opens the socket to $NOTIFY_SOCKET and starts the watchdog timer. Without $NOTIFY_SOCKET no
 * function here sends anything. Returns 0, or -1 with errno. */
int notify_open(struct master *master);

/* Sends WATCHDOG=1. Call at least once per watchdog period, and before execve. */
void notify_alive(void);

/* Returns the watchdog period in microseconds, or 0 without a watchdog:
 * sd_watchdog_enabled(3). */
uint64_t notify_watchdog_usec(void);

/* Call once a second: sends STATUS if it has changed, after the first READY=1. */
void notify_status(const struct master *master);

/* Send RELOADING=1 when a change begins, and READY=1 when every worker serves. */
void notify_reloading(void);
void notify_ready(const struct master *master);

/* Sends STOPPING=1: the stop begins and takes at most `seconds`. */
void notify_stopping(uint32_t seconds);

#endif
