/*
 * New connections from the listening sockets, which all workers share.
 */
#ifndef WSPUSHD_WORKER_ACCEPT_H
#define WSPUSHD_WORKER_ACCEPT_H

#include "worker/worker.h"

/* Begins to accept. Returns 0, or -1. */
int accept_open(struct worker *worker);

/* Stops accepting, for good. */
void accept_close(struct worker *worker);

/* The same for all workers: shuts the listening sockets down, because the master is dead. Its
 * successor can bind the addresses then. */
void accept_give_up(struct worker *worker);

/* Shuts one listening socket down, unless systemd has passed it and keeps it for the next master.
 */
void accept_shut_down(const struct worker *worker, int listener);

/* Lets connections wait in the kernel, or accepts them again, while the number of workers changes.
 */
void accept_hold(struct worker *worker, bool on);

#endif
