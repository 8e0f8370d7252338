/*
 * Logs the death of a worker, and records its cause for the successor (shm/words.h).
 */
#ifndef WSPUSHD_MASTER_OBITUARY_H
#define WSPUSHD_MASTER_OBITUARY_H

#include "master/master.h"

/* Call before the first worker starts: calls backtrace(3) once, because the first call loads a
 * library, which must not happen in a signal handler. */
void obituary_open(void);

/* Logs the last words of worker `i`, which died with this wait status after `lived_ms`
 * milliseconds. If it died by its own fault, records its last action in the slot's graves. True
 * if it did. */
bool obituary(const struct master *master, uint32_t i, int status, uint64_t lived_ms);

#endif
