/*
 * The audit of descriptors: finds those that a dead worker left open and that no record or note
 * mentions.
 *
 * All processes share one descriptor table, so a descriptor that a dead process opened stays open
 * until another process closes it. The dead worker's records and notes (descriptors.h) tell its
 * successor about most of them. But a worker can die between the system call that makes a
 * descriptor and the note, or between freeing a record and close(2).
 *
 *     a worker has died ──▶ LOOK ──────────▶ GRACE ────────────────▶ closed, or only logged
 *                           unknown to all   every worker has had    still the same, unknown,
 *                           records, notes   two turns of its loop   and of a worker's kind
 */
#ifndef WSPUSHD_WORKER_AUDIT_H
#define WSPUSHD_WORKER_AUDIT_H

#include "worker/worker.h"

/* Takes the next step of an audit, if one is under way or due. Called once a second in the node's
 * home. */
void audit_tick(struct worker *worker);

#endif
