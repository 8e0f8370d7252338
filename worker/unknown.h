/*
 * Members that nobody knows, in envelopes, commands and bodies of admin HTTP: most are misspelt.
 * They are ignored, counted, and each is logged once.
 */
#ifndef WSPUSHD_WORKER_UNKNOWN_H
#define WSPUSHD_WORKER_UNKNOWN_H

#include "proto/hint.h"
#include "worker/worker.h"

#include <stddef.h>

/* Where such a text comes from: a channel, in three pieces ("push:", "user:", a name), or a path.
 */
struct origin_text {
    const char *prefix, *kind, *name;
    size_t name_len;
};

/* Returns the text as a value for the log, as log_quote. */
const char *origin_quote(const struct origin_text *from);

/* Counts the text at `counter`, and logs its first unknown member if that is new. */
void unknown_note(struct worker *worker, _Atomic uint64_t *counter, const struct origin_text *from,
                  const char *why);

#endif
