/*
 * Push latency, from recv(2) from Redis to send(2) to clients: a histogram in the worker's
 * statistics (shm/stats.h).
 */
#ifndef WSPUSHD_WORKER_LATENCY_H
#define WSPUSHD_WORKER_LATENCY_H

#include "worker/worker.h"

/* Records that bytes have arrived from Redis now (worker->now_us), from this stream position on.
 * `all_routed`: everything before them is routed, except the beginning of a reply. */
void latency_received(struct worker *worker, uint64_t from, bool all_routed);

/* Call before routing the input at stream position `start`. Returns the delivery count so far, for
 * latency_sent. */
uint64_t latency_begin(struct worker *worker, uint64_t start);

/* Counts the deliveries since latency_begin, once they have been flushed. */
void latency_sent(struct worker *worker, uint64_t delivered_before);

/* Returns the arrival time of the bytes being routed, for a push that another worker sends: 24 bits
 * of microseconds, never 0. */
uint32_t latency_stamp(const struct worker *worker);

/* Return the delivery count so far; and count the deliveries since then, once the pushes of another
 * worker have been flushed. `stamp`: of the oldest of them; 0: there was no push. */
uint64_t latency_delivered(const struct worker *worker);
void latency_sent_for(struct worker *worker, uint64_t delivered_before, uint32_t stamp);

#endif
