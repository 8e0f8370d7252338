/*
 * Descriptors that are not connections of the table, noted in the slot: a dead worker's successor
 * closes what was noted, and the audit (audit.h) keeps off it.
 *
 * Whoever opens a descriptor in a worker and has it open beyond the turn of the loop notes it. The
 * Redis link and the parcel have words of their own in the slot.
 */
#ifndef WSPUSHD_WORKER_DESCRIPTORS_H
#define WSPUSHD_WORKER_DESCRIPTORS_H

#include "worker/worker.h"

/* Notes a descriptor that a link to Redis uses. Returns 0, or -1 if SLOT_AUX_LINK has no place
 * left. */
int descriptors_note(struct worker *worker, int fd);

/* Notes an admin connection. Returns how many are noted now, this one included, or -1 if
 * SLOT_AUX_VISITOR has no place left. */
int descriptors_note_visitor(struct worker *worker, int fd);

/* Returns how many admin connections are noted and open. */
uint32_t descriptors_visitors(struct worker *worker);

/* Takes a note back. Not necessary: a note whose descriptor has been closed means nothing, and is
 * dropped when its place is needed. */
void descriptors_forget(struct worker *worker, int fd);

/* After a death: closes what the dead worker had noted. */
void descriptors_close_noted(struct worker *worker);

#endif
