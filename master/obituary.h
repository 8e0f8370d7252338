/*
 * What is said of a worker that has died, and what is kept of it for its successor (shm/words.h).
 */
#ifndef WSPUSHD_MASTER_OBITUARY_H
#define WSPUSHD_MASTER_OBITUARY_H

#include "master/master.h"

/* Before the first worker: makes the backtrace(3) that loads what later ones need. */
void obituary_open(void);

/* Worker `i` has died with this wait status: logs its last words, and digs a grave for what died of
 * its own doing. `lived_ms`: how old it was. Returns whether it died of its own doing. */
bool obituary(const struct master *master, uint32_t i, int status, uint64_t lived_ms);

#endif
