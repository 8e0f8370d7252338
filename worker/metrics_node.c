/*
 * See metrics_node.h. All values are read once, then each metric is printed by its own small
 * function; the list in metrics_list.h binds name, type and help to the function.
 */
#include "worker/metrics_node.h"

#include "common/version.h"
#include "shm/board.h"
#include "worker/metrics_list.h"
#include "worker/node.h"
#include "worker/processes.h"
#include "worker/requests.h"

#include <string.h>

/* The values that were read. */
struct node_view {
    const struct worker *worker;
    struct processes processes;
    uint64_t latency[LATENCY_BUCKETS]; /* of all workers, each push in one bucket */
    uint64_t latency_us;
};

static const struct {
    uint64_t us;
    const char *seconds;
} latency_bounds[] = {
#define LATENCY_BOUND(us, seconds) {us, seconds},
    LATENCY_BOUNDS(LATENCY_BOUND)
#undef LATENCY_BOUND
        {UINT64_MAX, "+Inf"},
};

static void read_node_view(struct node_view *view, const struct worker *worker)
{
    *view = (struct node_view){.worker = worker};
    processes_read(worker, &view->processes);
    view->latency_us =
        stats_latency_sum(worker->segment->stats, worker_slots(worker), view->latency);
}

/* ---- Shared values ---- */

static uint64_t sum_worker_restarts(const struct worker *worker)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        sum += atomic_load(&worker->segment->slot[i].restarts);
    return sum;
}

static uint64_t sum_opcode_requests(const struct worker *worker, uint32_t op)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        sum += stats_requests_of(&worker->segment->stats[i], op);
    return sum;
}

/* Returns the number of requests with unknown opcodes and with those removed from push.conf. */
static uint64_t sum_unlisted_requests(const struct worker *worker)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < worker_slots(worker); i++) {
        const struct stats *stats = &worker->segment->stats[i];
        sum += atomic_load_explicit(&stats->requests_other, memory_order_relaxed);
        for (size_t k = 0; k < STATS_OPCODES_MAX; k++) {
            const uint32_t op = atomic_load_explicit(&stats->requests[k].op, memory_order_relaxed);
            if (op && !request_known(worker, op))
                sum += atomic_load_explicit(&stats->requests[k].count, memory_order_relaxed);
        }
    }
    return sum;
}

typedef void request_visitor(void *to, const char *op, uint64_t count);

/* Calls `visit` for each served opcode in numerical order, then for "other". */
static void visit_request_counts(const struct worker *worker, request_visitor *visit, void *to)
{
    char name[16];
    for (uint32_t op = 0; op < OP_APPLICATION_MIN; op++) {
        snprintf(name, sizeof(name), "%u", op);
        if (request_known(worker, op))
            visit(to, name, sum_opcode_requests(worker, op));
    }
    for (size_t i = 0; i < worker->config->rule_count; i++) {
        const uint32_t op = worker->config->rule[i].op;
        snprintf(name, sizeof(name), "%u", op);
        visit(to, name, sum_opcode_requests(worker, op));
    }
    visit(to, "other", sum_unlisted_requests(worker));
}

/* Returns the number of clients that are let in; more get 503. */
static uint32_t node_client_capacity(const struct worker *worker)
{
    return worker->budget.clients;
}

/* Returns the report of the last change of this kind; before the first one, that the start
 * succeeded. */
static struct change_report read_last_change(const struct worker *worker, enum change_kind kind)
{
    struct change_report report;
    if (board_read(worker->segment->board, kind, &report) == 0)
        report = (struct change_report){.at_ms = worker->segment->header->started_ms,
                                        .outcome = CHANGE_DONE};
    return report;
}

/* ---- Text ---- */

static void print_integer_value(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void print_seconds_value(FILE *out, const char *name, double seconds)
{
    fprintf(out, "%s %.3f\n", name, seconds);
}

static void print_metric_workers(const struct node_view *view, FILE *out, const char *name)
{
    print_integer_value(out, name, view->worker->workers);
}

static void print_metric_ready(const struct node_view *view, FILE *out, const char *name)
{
    const char *why;
    print_integer_value(out, name, node_serves(view->worker, &why));
}

static void print_metric_capacity(const struct node_view *view, FILE *out, const char *name)
{
    print_integer_value(out, name, node_client_capacity(view->worker));
}

static void print_metric_restarts(const struct node_view *view, FILE *out, const char *name)
{
    print_integer_value(out, name, sum_worker_restarts(view->worker));
}

static void print_metric_worker_connections(const struct node_view *view, FILE *out,
                                            const char *name)
{
    for (uint32_t i = 0; i < view->worker->workers; i++)
        fprintf(out, "%s{worker=\"%u\"} %u\n", name, i,
                atomic_load(&view->worker->segment->slot[i].connections));
}

static void print_metric_worker_cpu(const struct node_view *view, FILE *out, const char *name)
{
    for (uint32_t i = 0; i < view->worker->workers; i++)
        fprintf(out, "%s{worker=\"%u\"} %.2f\n", name, i, view->processes.worker[i].cpu_seconds);
}

static void print_metric_worker_memory(const struct node_view *view, FILE *out, const char *name)
{
    for (uint32_t i = 0; i < view->worker->workers; i++)
        fprintf(out, "%s{worker=\"%u\"} %llu\n", name, i,
                (unsigned long long)view->processes.worker[i].bytes);
}

static void print_request_count(void *to, const char *op, uint64_t count)
{
    fprintf(to, "wspushd_requests_total{op=\"%s\"} %llu\n", op, (unsigned long long)count);
}

static void print_metric_requests(const struct node_view *view, FILE *out, const char *name)
{
    (void)name;
    visit_request_counts(view->worker, print_request_count, out);
}

/* Prometheus's buckets are cumulative. */
static void print_metric_latency(const struct node_view *view, FILE *out, const char *name)
{
    uint64_t count = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        count += view->latency[i];
        fprintf(out, "%s_bucket{le=\"%s\"} %llu\n", name, latency_bounds[i].seconds,
                (unsigned long long)count);
    }
    fprintf(out, "%s_sum %.6f\n%s_count %llu\n", name, (double)view->latency_us / 1e6, name,
            (unsigned long long)count);
}

static void print_metric_reload_ok(const struct node_view *view, FILE *out, const char *name)
{
    print_integer_value(out, name,
                        read_last_change(view->worker, CHANGE_RELOAD).outcome == CHANGE_DONE);
}

static void print_metric_reload_at(const struct node_view *view, FILE *out, const char *name)
{
    print_seconds_value(out, name,
                        (double)read_last_change(view->worker, CHANGE_RELOAD).at_ms / 1000);
}

static void print_metric_upgrade_ok(const struct node_view *view, FILE *out, const char *name)
{
    print_integer_value(out, name,
                        read_last_change(view->worker, CHANGE_UPGRADE).outcome == CHANGE_DONE);
}

static void print_metric_upgrade_at(const struct node_view *view, FILE *out, const char *name)
{
    print_seconds_value(out, name,
                        (double)read_last_change(view->worker, CHANGE_UPGRADE).at_ms / 1000);
}

static void print_metric_build(const struct node_view *view, FILE *out, const char *name)
{
    (void)view;
    fprintf(out, "%s{version=\"%s\",build=\"%s\"} 1\n", name, WSPUSHD_VERSION, version_build());
}

static void print_metric_cpu(const struct node_view *view, FILE *out, const char *name)
{
    fprintf(out, "%s %.2f\n", name, view->processes.cpu_seconds);
}

static void print_metric_memory(const struct node_view *view, FILE *out, const char *name)
{
    print_integer_value(out, name, view->processes.bytes);
}

static void print_metric_open_fds(const struct node_view *view, FILE *out, const char *name)
{
    print_integer_value(out, name, view->processes.open_fds);
}

static void print_metric_max_fds(const struct node_view *view, FILE *out, const char *name)
{
    print_integer_value(out, name, view->processes.max_fds);
}

static void print_metric_start(const struct node_view *view, FILE *out, const char *name)
{
    print_seconds_value(out, name, (double)view->worker->segment->header->started_ms / 1000);
}

void metrics_node_print(const struct worker *worker, FILE *out)
{
    struct node_view view;
    read_node_view(&view, worker);
#define NODE_PRINT(printer, name, type, labels, help)                   \
    fputs("# HELP " name " " help "\n# TYPE " name " " type "\n", out); \
    print_metric_##printer(&view, out, name);
    NODE_METRICS(NODE_PRINT)
#undef NODE_PRINT
}

/* ---- JSON ---- */

/* Returns {"buckets":[{"le_us":50,"count":3},...],"sum_us":1200,"count":3}; the last bucket has no
 * bound. Numbers are integers of small units, because a JSON fraction is rarely exact. */
static json_t *push_latency_json(const struct node_view *view)
{
    json_t *buckets = json_array();
    uint64_t count = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        json_t *bucket = json_object();
        count += view->latency[i];
        if (i < LATENCY_ABOVE)
            json_object_set_new(bucket, "le_us", json_integer((json_int_t)latency_bounds[i].us));
        json_object_set_new(bucket, "count", json_integer((json_int_t)count));
        json_array_append_new(buckets, bucket);
    }
    return json_pack("{s:o, s:I, s:I}", "buckets", buckets, "sum_us", (json_int_t)view->latency_us,
                     "count", (json_int_t)count);
}

static json_int_t seconds_to_ms(double seconds)
{
    return (json_int_t)(seconds * 1000 + 0.5);
}

static json_t *process_use_json(const struct node_view *view)
{
    const struct processes *all = &view->processes;
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "cpu_ms", seconds_to_ms(all->cpu_seconds),
                     "resident_memory_bytes", (json_int_t)all->bytes, "open_fds",
                     (json_int_t)all->open_fds, "max_fds", (json_int_t)all->max_fds, "started_ms",
                     (json_int_t)view->worker->segment->header->started_ms);
}

/* Adds members to each worker's object, and returns the sum of the CPU times in seconds. */
static double add_worker_members(const struct node_view *view, json_t *workers)
{
    double sum = 0;
    for (uint32_t i = 0; i < view->worker->workers; i++) {
        const struct process_use *use = &view->processes.worker[i];
        json_t *worker = json_array_get(workers, i);
        json_object_set_new(worker, "cpu_ms", json_integer(seconds_to_ms(use->cpu_seconds)));
        json_object_set_new(worker, "resident_memory_bytes", json_integer((json_int_t)use->bytes));
        sum += use->cpu_seconds;
    }
    return sum;
}

static void add_request_count(void *to, const char *op, uint64_t count)
{
    json_object_set_new(to, op, json_integer((json_int_t)count));
}

static json_t *request_counts_json(const struct worker *worker)
{
    json_t *requests = json_object();
    visit_request_counts(worker, add_request_count, requests);
    return requests;
}

static json_t *sum_of_json_numbers(json_t *numbers)
{
    const char *key;
    json_t *number;
    json_int_t sum = 0;
    json_object_foreach(numbers, key, number) sum += json_integer_value(number);
    return json_integer(sum);
}

void metrics_node_json(const struct worker *worker, json_t *json)
{
    struct node_view view;
    read_node_view(&view, worker);
    json_t *counters = json_object_get(json, "counters"), *requests = request_counts_json(worker);
    const double cpu = add_worker_members(&view, json_object_get(json, "workers"));
    json_object_set_new(counters, "worker_cpu_seconds_total", json_real(cpu));
    json_object_set_new(counters, "worker_restarts_total",
                        json_integer((json_int_t)sum_worker_restarts(worker)));
    json_object_set_new(counters, "requests_total", sum_of_json_numbers(requests));
    json_object_set_new(json, "requests", requests);
    json_object_set_new(json, "push_latency", push_latency_json(&view));
    json_object_set_new(json, "process", process_use_json(&view));
    json_object_set_new(json, "capacity", json_integer(node_client_capacity(worker)));
}
