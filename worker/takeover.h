/*
 * A worker takes its slot up: from nobody, or from one that died.
 */
#ifndef WSPUSHD_WORKER_TAKEOVER_H
#define WSPUSHD_WORKER_TAKEOVER_H

#include "worker/worker.h"

/* Before the modules open: closes what died with the last worker, makes the index and the counts
 * right. */
void takeover_begin(struct worker *worker);

/* Makes the user index, the topics and the counts again from the records. */
void takeover_rebuild(struct worker *worker);

/* When they are open: asks again for what was under way. */
void takeover_finish(struct worker *worker);

#endif
