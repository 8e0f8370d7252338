/*
 * From a push to its connections: decoded once, encoded once for each mode that has a recipient.
 */
#ifndef WSPUSHD_WORKER_DELIVER_H
#define WSPUSHD_WORKER_DELIVER_H

#include "worker/worker.h"

#include <stddef.h>

/* To the connections of one user, whose home this worker is; else it is let go, uncounted. `mark`:
 * where it came from. */
void deliver_user(struct worker *worker, const char *user, size_t user_len, const uint8_t *payload,
                  size_t len, uint64_t mark);

/* To every connection of this worker; to the users of the envelope whose home it is. A malformed
 * push does nothing: deliver_check has counted it, once for the node. */
void deliver_all(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark);
void deliver_users(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark);

/* To this worker's members of a topic. */
void deliver_topic(struct worker *worker, const char *name, size_t name_len, const uint8_t *payload,
                   size_t len, uint64_t mark);

/* Whether the push is well formed, and names users if it must; counts and logs where it is not. */
bool deliver_check(struct worker *worker, const uint8_t *payload, size_t len, bool users);

#endif
