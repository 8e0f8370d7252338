/*
 * The Redis link of this worker: one connection that carries its subscriptions and every push to
 * its users, from one connect to the next. What goes through it is in link_streams.h.
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

/* Takes the slot's link up where it is, or begins to connect. Returns 0, or -1 with errno. */
int link_open(struct worker *worker);

/* Whether commands can be handed over; while not, they are not needed (subscribe.c). */
bool link_writable(const struct worker *worker);

/* Closes the slot's link for good: nobody is to take it up. Needs no link_open. */
void link_close(struct worker *worker);

/* Pushes may be missing from now on, for the clients of this worker and for members of its topics.
 */
void link_note_gap(struct worker *worker);

/* End of a turn: where another worker's link has come up, Redis is back, and this one's next try
 * need not wait. */
void link_notice_others(struct worker *worker);

/* Once a second: time limits of the link. */
void link_tick(struct worker *worker);

/* Redis has confirmed a batch: the link is up if it was not. */
void link_confirmed(struct worker *worker);

/* Ends the connection and plans the next. `why` goes to the log. */
void link_fail(struct worker *worker, const char *why);

#endif
