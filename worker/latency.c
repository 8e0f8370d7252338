/*
 * See latency.h. The clock is read once when bytes arrive and once when they have been sent, not
 * for each push: all pushes of one flush get the time at which the flush ended. So no latency is
 * shown too small, and measuring adds no cost per push.
 *
 * The arrival time is in the slot. After a death the successor routes what its predecessor had
 * received, and the latency includes the time that the death cost.
 *
 * Left out: the time before recv(2), while bytes wait in the kernel; and pushes that waited for a
 * slow client, which pushes_queued_total counts.
 */
#include "worker/latency.h"

#include "common/clock.h"

enum { STAMP_BITS = 24, STAMP_MASK = (1 << STAMP_BITS) - 1 };

static uint64_t input_received_us(const struct worker *worker)
{
    return atomic_load_explicit(&worker->slot->link.received_us, memory_order_relaxed);
}

static void set_input_received(struct worker *worker, uint64_t us)
{
    atomic_store_explicit(&worker->slot->link.received_us, us, memory_order_relaxed);
}

void latency_received(struct worker *worker, uint64_t from, bool all_routed)
{
    if (all_routed) {
        set_input_received(worker, worker->now_us);
        worker->latency.later_us = 0;
    } else if (worker->latency.later_us == 0) {
        worker->latency = (struct latency){.later_us = worker->now_us, .later_from = from};
    }
}

uint64_t latency_begin(struct worker *worker, uint64_t start)
{
    struct latency *latency = &worker->latency;
    if (latency->later_us > 0 && start >= latency->later_from) {
        set_input_received(worker, latency->later_us);
        latency->later_us = 0;
    }
    return latency_delivered(worker);
}

static void count_push_latency(struct worker *worker, uint64_t pushes, uint64_t us)
{
    stats_add(&worker->stats->latency[latency_bucket(us)], pushes);
    stats_add(&worker->stats->latency_us, us * pushes);
}

void latency_sent(struct worker *worker, uint64_t delivered_before)
{
    const uint64_t pushes = latency_delivered(worker) - delivered_before;
    const uint64_t since = input_received_us(worker);
    if (pushes > 0 && since > 0)
        count_push_latency(worker, pushes, clock_mono_us() - since);
}

uint32_t latency_stamp(const struct worker *worker)
{
    const uint32_t stamp = (uint32_t)input_received_us(worker) & STAMP_MASK;
    return stamp ? stamp : 1;
}

uint64_t latency_delivered(const struct worker *worker)
{
    return atomic_load_explicit(&worker->stats->delivered, memory_order_relaxed);
}

void latency_sent_for(struct worker *worker, uint64_t delivered_before, uint32_t stamp)
{
    const uint64_t pushes = latency_delivered(worker) - delivered_before;
    if (pushes > 0 && stamp > 0)
        count_push_latency(worker, pushes, ((uint32_t)clock_mono_us() - stamp) & STAMP_MASK);
}
