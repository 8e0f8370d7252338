/*
 * Descriptors that are no connections of the table, and those that nobody has any more.
 *
 * All processes share one descriptor table, so what a dead process had opened stays open until
 * somebody closes it. What can be noted is noted in the slot, for the successor. Between a system
 * call that makes a descriptor and the note, and between freeing a record and closing, there are
 * moments in which a death leaves a descriptor that nobody knows. The audit finds those: open,
 * known to nobody, and still so some seconds later.
 */
#ifndef WSPUSHD_WORKER_DESCRIPTORS_H
#define WSPUSHD_WORKER_DESCRIPTORS_H

#include "worker/worker.h"

/* Notes a descriptor in the slot, and takes the note back. Returns 0, or -1 where too many are
 * noted. */
int descriptors_note(struct worker *worker, int fd);
void descriptors_forget(struct worker *worker, int fd);

/* After a death: closes what the dead worker had noted. */
void descriptors_close_noted(struct worker *worker);

/* Once a second, in the node's home: after deaths, looks for what nobody knows. */
void descriptors_audit(struct worker *worker);

#endif
