/*
 * Delivers pushes to connections. A push is decoded once, and encoded once for each mode that has a
 * recipient.
 */
#ifndef WSPUSHD_WORKER_DELIVER_H
#define WSPUSHD_WORKER_DELIVER_H

#include "proto/report.h"
#include "worker/worker.h"

#include <stddef.h>

/* Delivers to the connections of one user if this worker is the user's home; otherwise ignores the
 * push, uncounted. `mark`: the push's position (conn_mark). */
void deliver_user(struct worker *worker, const char *user, size_t user_len, const uint8_t *payload,
                  size_t len, uint64_t mark);

/* Deliver to every connection of this worker, or to those users of the envelope whose home it is.
 * `copies`: the number of other workers that got a copy, or REPORT_COPY if this is such a copy: the
 * worker that received the push from Redis counts it, and logs its errors, once for the node. */
void deliver_all(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark,
                 int copies);
void deliver_users(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark,
                   int copies);

/* Counts a push that is larger than max_push, and logs it at a limited rate. `channel` is "" if
 * unknown. */
void deliver_too_large(struct worker *worker, const char *channel, size_t channel_len,
                       size_t bytes);

/* Delivers to this worker's members of a topic. `copies` as above. */
void deliver_topic(struct worker *worker, const char *name, size_t name_len, const uint8_t *payload,
                   size_t len, uint64_t mark, int copies);

#endif
