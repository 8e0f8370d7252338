/*
 * Moves connections to other workers because the number of workers changes: GIVE and TAKE of
 * shm/plan.h.
 *
 *   the old worker                              the new one, once all old ones have left
 *   ----------------------------------------    -----------------------------------------
 *   writes the parcel: data not in the record
 *   each record: leaves the epoll set, then     each record on the way to it: sets the word;
 *   its word names the worker that it is on     then rebuilds index and topics, reads the
 *   the way to                                  parcels, joins the epoll set
 *   a slot that is not needed any more: closes
 *   its link and other descriptors
 *
 * A user's connections go to the user's home. All others stay, unless their slot ends: then the
 * slot's number decides. If an old worker dies before the parcel is complete, its successor is like
 * any other and begins again; after that, the successor only hands out the remaining connections. A
 * connection on the way belongs to no worker until all old ones have left, so such a successor does
 * not take it back.
 */
#ifndef WSPUSHD_WORKER_REHOME_H
#define WSPUSHD_WORKER_REHOME_H

#include "worker/worker.h"

/* Returns the worker that is to own a connection of this worker: in GIVE perhaps another, else this
 * one. */
uint32_t rehome_owner(const struct worker *worker, const struct conn *conn);

/* Carries out the plan for a worker that has left its loop. Returns its exit status. */
int rehome_leave(struct worker *worker);

/* Finishes handing out connections that a dead predecessor had begun to give away; true if it
 * had. */
bool rehome_resume(struct worker *worker);

/* In TAKE, before anything else of a takeover: takes this worker's connections and drops data that
 * depends on the old number of workers. */
void rehome_begin(struct worker *worker);

/* Restarts a link that may lack channels of users that arrived in the move. Call it when the
 * modules are open. */
void rehome_finish(struct worker *worker);

#endif
