/*
 * This worker's Redis link: one connection at a time, which carries its subscriptions and every
 * push to its users. link_streams.h handles its bytes.
 *
 *              connect                login accepted           fence of the first batch
 *     DOWN ------------> CONNECTING -----------------> SUBSCRIBING ---------------> UP
 *      ^                     |                             |                        |
 *      +---------------------+-----------------------------+------------------------+
 *        error, end of stream, silence; the next try after a growing, random delay
 */
#ifndef WSPUSHD_WORKER_LINK_H
#define WSPUSHD_WORKER_LINK_H

#include "worker/worker.h"

/* Takes over the slot's link in its present state, or starts connecting. Returns 0, or -1 with
 * errno. */
int link_open(struct worker *worker);

/* True if commands can be appended. While it is false they are not needed: a new connection
 * subscribes everything (subscribe.c). */
bool link_writable(const struct worker *worker);

/* Closes the slot's link for good: no successor takes it over. Works without link_open. */
void link_close(struct worker *worker);

/* Records that pushes may be missing from now on, for this worker's clients and for members of its
 * topics. */
void link_note_gap(struct worker *worker);

/* Reconnects at once if another worker's link has come up: Redis is back. Called at the end of a
 * turn. */
void link_notice_others(struct worker *worker);

/* Checks the link's time limits. Called once a second. */
void link_tick(struct worker *worker);

/* Makes the link UP, if it was not: Redis has confirmed a batch of subscriptions. */
void link_confirmed(struct worker *worker);

/* Ends the connection and schedules the next attempt. `why` goes to the log. */
void link_fail(struct worker *worker, const char *why);

#endif
