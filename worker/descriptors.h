/*
 * Notes in the slot of descriptors other than connections in the table: a dead worker's successor
 * closes the noted ones, and the audit (audit.h) leaves them alone.
 *
 * A worker's code notes every descriptor that it keeps open beyond the turn of the loop. The Redis
 * link and the parcel have fields of their own in the slot.
 */
#ifndef WSPUSHD_WORKER_DESCRIPTORS_H
#define WSPUSHD_WORKER_DESCRIPTORS_H

#include "worker/worker.h"

/* Notes a descriptor that a link to Redis uses. Returns 0, or -1 if SLOT_AUX_LINK has no place
 * left. */
int descriptors_note(struct worker *worker, int fd);

/* Notes an admin connection. Returns the number noted now, including this one, or -1 if
 * SLOT_AUX_VISITOR has no place left. */
int descriptors_note_visitor(struct worker *worker, int fd);

/* Returns the number of admin connections that are noted and open. */
uint32_t descriptors_visitors(struct worker *worker);

/* Removes a note. This is optional: a note whose descriptor has been closed means nothing, and is
 * dropped when its place is needed. */
void descriptors_forget(struct worker *worker, int fd);

/* Closes the descriptors that a dead worker had noted. */
void descriptors_close_noted(struct worker *worker);

#endif
