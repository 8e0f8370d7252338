/*
 * The audit of descriptors: finds those that a dead worker has left open and nobody knows.
 *
 * All processes share one descriptor table, so what a dead process had opened stays open until
 * somebody closes it. Its records and its notes (descriptors.h) tell its successor. Between a
 * system call that makes a descriptor and the note, and between freeing a record and closing, there
 * are moments in which a death leaves a descriptor without either.
 *
 *     a worker has died ──▶ LOOK ──────────▶ GRACE ────────────────▶ closed, or only logged
 *                           unknown to all   every worker has had    still the same, unknown,
 *                           records, notes   two turns of its loop   and of a worker's kind
 */
#ifndef WSPUSHD_WORKER_AUDIT_H
#define WSPUSHD_WORKER_AUDIT_H

#include "worker/worker.h"

/* Once a second, in the node's home: takes the next step of an audit, if there is one to make. */
void audit_tick(struct worker *worker);

#endif
