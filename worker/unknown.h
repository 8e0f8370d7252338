/*
 * Unknown members in envelopes, commands and bodies of admin HTTP, most of them misspelt. They are
 * ignored and counted, and each is logged once.
 */
#ifndef WSPUSHD_WORKER_UNKNOWN_H
#define WSPUSHD_WORKER_UNKNOWN_H

#include "proto/hint.h"
#include "worker/worker.h"

#include <stddef.h>

/* The origin of such a text: a channel, in three pieces ("push:", "user:", a name), or a path. */
struct origin_text {
    const char *prefix, *kind, *name;
    size_t name_len;
};

/* Returns the origin as a value for the log, as log_quote does. */
const char *origin_quote(const struct origin_text *from);

/* Adds 1 to `counter`, and logs the text's first unknown member if it was not logged before. */
void unknown_note(struct worker *worker, _Atomic uint64_t *counter, const struct origin_text *from,
                  const char *why);

#endif
