/*
 * See sampler.h. Any worker can show the history, because it is in shared memory; the node's home
 * writes it. Every ten seconds that costs two small files of /proc for each process (processes.h)
 * and a sum over the workers' counters; it costs pushes, connections and turns nothing.
 *
 * Samples are dated by the monotonic clock, and shown as Unix time by the present difference of the
 * two clocks. So when the clock is set, the whole hour moves and no gap appears.
 */
#include "worker/sampler.h"

#include "common/clock.h"
#include "shm/history.h"
#include "worker/node.h"
#include "worker/processes.h"

#include <string.h>

/* ---- Writing ---- */

/* Returns the sum of a family of counters over all workers. */
static uint64_t sum_counter_family(const struct worker *worker, const char *family)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < stats_table_len; i++)
        if (strcmp(stats_table[i].family, family) == 0)
            sum += stats_sum(worker->segment->stats, worker_slots_run(worker), &stats_table[i]);
    return sum;
}

static void take_history_sample(const struct worker *worker, struct history_sample *sample)
{
    struct processes processes;
    processes_read(worker, &processes);
    *sample = (struct history_sample){
        .at_ms = clock_mono_ms(),
        .connections = worker_total(worker),
        .pushes_received = sum_counter_family(worker, "pushes_received_total"),
        .pushes_delivered = sum_counter_family(worker, "pushes_delivered_total"),
        .pushes_dropped = sum_counter_family(worker, "pushes_dropped_total"),
        .cpu_ms = (uint64_t)(processes.cpu_seconds * 1000 + 0.5),
        .resident_memory_bytes = processes.bytes,
    };
    stats_latency_sum(worker->segment->stats, worker_slots_run(worker), sample->latency);
}

void sampler_tick(const struct worker *worker)
{
    struct history *history = worker->segment->history;
    struct history_sample sample;
    if (worker->id != worker_node_home(worker) || !history_due(history, clock_mono_ms()))
        return;
    take_history_sample(worker, &sample);
    history_add(history, &sample);
}

/* ---- Showing ---- */

static json_t *latency_bounds_json(void)
{
    json_t *bounds = json_array();
#define LATENCY_APPEND(us, seconds) json_array_append_new(bounds, json_integer(us));
    LATENCY_BOUNDS(LATENCY_APPEND)
#undef LATENCY_APPEND
    return bounds;
}

/* Returns the cumulative buckets, as in /api/stats. */
static json_t *sample_latency_json(const struct history_sample *sample)
{
    json_t *counts = json_array();
    uint64_t count = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        count += sample->latency[i];
        json_array_append_new(counts, json_integer((json_int_t)count));
    }
    return counts;
}

static json_t *history_sample_json(const struct history_sample *sample, uint64_t epoch_ms)
{
    json_t *json = json_object();
    const uint64_t at_ms = epoch_ms + sample->at_ms;
    json_object_set_new(json, "at_ms", json_integer((json_int_t)at_ms));
#define HISTORY_SET(name, grows) \
    json_object_set_new(json, #name, json_integer((json_int_t)sample->name));
    HISTORY_FIELDS(HISTORY_SET)
#undef HISTORY_SET
    json_object_set_new(json, "latency", sample_latency_json(sample));
    return json;
}

json_t *sampler_json(const struct worker *worker)
{
    const struct history *history = worker->segment->history;
    const uint64_t now_ms = clock_wall_ms(), epoch_ms = now_ms - clock_mono_ms();
    json_t *samples = json_array();
    struct history_sample sample;
    uint64_t number;
    const uint64_t end = history_end(history, &number);
    for (; number < end; number++)
        if (history_read(history, number, &sample))
            json_array_append_new(samples, history_sample_json(&sample, epoch_ms));
    return json_pack("{s:I, s:I, s:o, s:o}", "now_ms", (json_int_t)now_ms, "every_ms",
                     (json_int_t)HISTORY_EVERY_MS, "latency_le_us", latency_bounds_json(),
                     "samples", samples);
}
