/*
 * Accepts client connections on the listening sockets, which all workers share.
 */
#ifndef WSPUSHD_WORKER_ACCEPT_H
#define WSPUSHD_WORKER_ACCEPT_H

#include "worker/worker.h"

/* Starts accepting. Returns 0, or -1. */
int accept_open(struct worker *worker);

/* Stops accepting for good, in this worker only. */
void accept_close(struct worker *worker);

/* Shuts the listening sockets down for all workers, because the master is dead. Its successor can
 * then bind the addresses. */
void accept_give_up(struct worker *worker);

/* Shuts one listening socket down, unless systemd passed it in and keeps it for the next master. */
void accept_shut_down(const struct worker *worker, int listener);

/* Leaves new connections in the kernel's queue (`on`), or accepts them again, while the number of
 * workers changes. */
void accept_hold(struct worker *worker, bool on);

#endif
