/*
 * How long pushes take from Redis's bytes to the kernel's: a histogram in the worker's statistics
 * (shm/stats.h).
 */
#ifndef WSPUSHD_WORKER_LATENCY_H
#define WSPUSHD_WORKER_LATENCY_H

#include "worker/worker.h"

/* Bytes have come from Redis now (worker->now_us), from this position of the stream on.
 * `all_routed`: what had come before is routed, but for the beginning of a reply. */
void latency_received(struct worker *worker, uint64_t from, bool all_routed);

/* What begins at position `start` of the stream is to be routed now. Returns the deliveries so far,
 * for latency_sent. */
uint64_t latency_begin(struct worker *worker, uint64_t start);

/* What was routed has been flushed: counts the deliveries since latency_begin. */
void latency_sent(struct worker *worker, uint64_t delivered_before);

/* When the bytes came that are being routed, for a push that another worker sends: 24 bits of
 * microseconds, never 0. */
uint32_t latency_stamp(const struct worker *worker);

/* The deliveries so far; and when pushes of another worker have been flushed, of which the oldest
 * bears this stamp: counts the deliveries since then. Stamp 0: there was no push. */
uint64_t latency_delivered(const struct worker *worker);
void latency_sent_for(struct worker *worker, uint64_t delivered_before, uint32_t stamp);

#endif
