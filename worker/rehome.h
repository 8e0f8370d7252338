/*
 * Connections go to other workers because their number is another: GIVE and TAKE of shm/plan.h.
 *
 *   the old worker                              the new one, when all old ones have left
 *   ----------------------------------------    -----------------------------------------
 *   the parcel: what a record does not hold
 *   each record: out of the epoll set, then     each record that is on the way to it: the
 *   the word that says to whom it is on the     word; then index and topics anew, parcels,
 *   way                                         epoll set
 *   a slot that is not needed any more: link
 *   and other descriptors closed
 *
 * A user's connections go to his home. All others stay, unless their slot ends: then they are
 * spread by its number. An old worker that dies before the parcel is whole has a successor like any
 * other, which begins again; once the parcel is there, the successor does nothing but give the
 * rest. As what is given is nobody's until all have left, no such successor takes it for its own.
 */
#ifndef WSPUSHD_WORKER_REHOME_H
#define WSPUSHD_WORKER_REHOME_H

#include "worker/worker.h"

/* Who is to own a connection of this worker: in GIVE perhaps another, else itself. */
uint32_t rehome_owner(const struct worker *worker, const struct conn *conn);

/* When the worker has left its loop: what the plan asks of it. Returns its exit status. */
int rehome_leave(struct worker *worker);

/* Whether a predecessor has died while it gave; then the rest of it is done. */
bool rehome_resume(struct worker *worker);

/* In TAKE, before anything else of a takeover: forgets what derives from the old number. */
void rehome_begin(struct worker *worker);

/* When the modules are open: a link that may lack channels of those who came is made anew. */
void rehome_finish(struct worker *worker);

#endif
