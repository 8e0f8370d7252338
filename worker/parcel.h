/*
 * The memory that a worker leaves to others when it exits on purpose: to its successor, or in a
 * move (rehome.h) to the workers that get its connections. A parcel holds the connections' private
 * memory (hold.h), and the topic memberships of those that go to another worker. It is written to a
 * memfd whose number is in the slot. After a kill there is no parcel, and connections with private
 * memory are closed; after a reload or an upgrade no client notices. parcel_format.h draws it.
 */
#ifndef WSPUSHD_WORKER_PARCEL_H
#define WSPUSHD_WORKER_PARCEL_H

#include "worker/worker.h"

/* Writes the parcel and stores its descriptor in the slot; the last thing that a leaving worker
 * does before it gives connections away. Connections with an entry that go to another worker have
 * CONN_GIVEN from then on. Returns false, and logs why, if it could not be written: private memory
 * is then lost as after a kill. */
bool parcel_write(struct worker *worker);

/* Reads the predecessor's parcel, if there is one; in a move, this worker's entries in every
 * parcel. Call it before takeover.c looks for connections whose bytes are lost. */
void parcel_take(struct worker *worker);

#endif
