/*
 * What became of a push (proto/report.h): counted at its delivery, and published on the channel of
 * the worker that asked. A report on this worker's own channel goes to the requests that wait for
 * it (pending.h).
 */
#ifndef WSPUSHD_WORKER_REPORT_H
#define WSPUSHD_WORKER_REPORT_H

#include "proto/report.h"
#include "worker/worker.h"

/* Subscribes to this worker's channel on a new socket: part of subscriptions_all. */
void report_subscribe(struct worker *worker);

/* A snapshot of the counters of deliveries. */
struct tally {
    uint64_t delivered, closed, nobody;
};
struct tally report_tally(const struct worker *worker);

/* Fills in and publishes the report on a push that was sent alone since `before`: of `recipients`
 * connections, `queued` have it in their backlog; `repeated` others already had it. */
void report_tell(struct worker *worker, struct report *report, const struct tally *before,
                 uint32_t recipients, uint32_t repeated, uint32_t queued);

#endif
