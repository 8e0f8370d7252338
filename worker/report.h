/*
 * What became of a push (proto/report.h): counted where it is delivered, and told on the channel of
 * the worker that asks. What comes on this worker's own goes to the requests that wait (pending.h).
 */
#ifndef WSPUSHD_WORKER_REPORT_H
#define WSPUSHD_WORKER_REPORT_H

#include "proto/report.h"
#include "worker/worker.h"

/* Asks for this worker's channel on a new socket: part of subscriptions_all. */
void report_subscribe(struct worker *worker);

/* What the counters of deliveries say. */
struct tally {
    uint64_t delivered, closed, nobody;
};
struct tally report_tally(const struct worker *worker);

/* Fills in what a push has come to that was sent by itself since `before`, and tells it: of
 * `recipients` connections, `queued` have it in their backlog, and `repeated` more had it before.
 */
void report_tell(struct worker *worker, struct report *report, const struct tally *before,
                 uint32_t recipients, uint32_t repeated, uint32_t queued);

#endif
