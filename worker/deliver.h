/*
 * From a push to its connections: decoded once, encoded once for each mode that has a recipient.
 */
#ifndef WSPUSHD_WORKER_DELIVER_H
#define WSPUSHD_WORKER_DELIVER_H

#include "proto/report.h"
#include "worker/worker.h"

#include <stddef.h>

/* To the connections of one user, whose home this worker is; else it is let go, uncounted. `mark`:
 * where it came from. */
void deliver_user(struct worker *worker, const char *user, size_t user_len, const uint8_t *payload,
                  size_t len, uint64_t mark);

/* To every connection of this worker; to the users of the envelope whose home it is. `copies`: how
 * many other workers have got one, or REPORT_COPY where this is one of those: the worker that has
 * it from Redis counts it, and logs what is wrong with it, once for the node. */
void deliver_all(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark,
                 int copies);
void deliver_users(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark,
                   int copies);

/* A push is larger than max_push: counts it, and logs it at a limited rate. `channel`: "" where it
 * is not known. */
void deliver_too_large(struct worker *worker, const char *channel, size_t channel_len,
                       size_t bytes);

/* To this worker's members of a topic; likewise. */
void deliver_topic(struct worker *worker, const char *name, size_t name_len, const uint8_t *payload,
                   size_t len, uint64_t mark, int copies);

#endif
