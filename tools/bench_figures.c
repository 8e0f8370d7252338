/*
 * Computes figures from samples: differences between two moments, divided by the work done between
 * them. The work of a run that only connects is connections; an idle run has no work, so its costs
 * are per second.
 */
#include "tools/bench_figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench_clock.h"

static bool result_connects_only(const struct result *result)
{
    return strcmp(result->mode->name, "connect") == 0;
}

static bool is_idle_result(const struct result *result)
{
    return result->first > 0;
}

/* Returns the histogram that the latency columns show. */
static const struct histogram *find_latency_histogram(const struct result *result)
{
    return result_connects_only(result) || is_idle_result(result) ? &result->connects
                                                                  : &result->latency;
}

static double latency_percentile_us(const struct result *result, double percent)
{
    const struct histogram *histogram = find_latency_histogram(result);
    return histogram->count == 0 ? NAN : (double)histogram_percentile(histogram, percent) / 1e3;
}

static double divide_or_nan(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

double figure_clients(const struct result *result)
{
    return (double)result->full.clients.ready;
}

double figure_seconds(const struct result *result)
{
    return result_seconds(result);
}

double figure_delivered(const struct result *result)
{
    if (result_connects_only(result))
        return (double)result->ended.clients.opened;
    return is_idle_result(result) ? NAN : (double)result_deliveries(result);
}

double figure_rate(const struct result *result)
{
    return divide_or_nan(figure_delivered(result), result_seconds(result));
}

double figure_lost(const struct result *result)
{
    return (double)(result->lost + result->unanswered);
}

double figure_doubled(const struct result *result)
{
    return (double)result->clients.doubled;
}

double figure_late(const struct result *result)
{
    return (double)result->clients.late;
}

double figure_p50(const struct result *result)
{
    return latency_percentile_us(result, 50);
}

double figure_p90(const struct result *result)
{
    return latency_percentile_us(result, 90);
}

double figure_p99(const struct result *result)
{
    return latency_percentile_us(result, 99);
}

double figure_p999(const struct result *result)
{
    return latency_percentile_us(result, 99.9);
}

double figure_max(const struct result *result)
{
    return latency_percentile_us(result, 100);
}

double figure_mean(const struct result *result)
{
    return find_latency_histogram(result)->count == 0
               ? NAN
               : histogram_mean(find_latency_histogram(result)) / 1e3;
}

static double server_cpu_ns(const struct result *result)
{
    const uint64_t from = result->began.server.cpu, to = result->ended.server.cpu;
    return to == 0 ? NAN : (double)(to - from); /* 0: no process id was given */
}

static double redis_cpu_ns(const struct result *result)
{
    const uint64_t from = result->began.redis.cpu, to = result->ended.redis.cpu;
    return to == 0 ? NAN : (double)(to - from);
}

double figure_server(const struct result *result)
{
    return divide_or_nan(server_cpu_ns(result) / 1e3, figure_delivered(result));
}

double figure_redis(const struct result *result)
{
    return divide_or_nan(redis_cpu_ns(result) / 1e3, figure_delivered(result));
}

double figure_user(const struct result *result)
{
    const double user = (double)(result->ended.server.user - result->began.server.user);
    const double system = (double)(result->ended.server.system - result->began.server.system);
    return divide_or_nan(user, user + system);
}

double figure_calls(const struct result *result)
{
    if (result->no_calls != NULL)
        return NAN;
    return divide_or_nan((double)(result->ended.calls - result->began.calls),
                         figure_delivered(result));
}

static double server_context_switches(const struct result *result)
{
    if (result->ended.server.cpu == 0 || result->ended.server.switches == 0)
        return NAN;
    /* A process that died took its count with it. */
    return fmax(0, (double)result->ended.server.switches - (double)result->began.server.switches);
}

double figure_switches(const struct result *result)
{
    return result->mode->event == EVENT_KILL
               ? NAN
               : divide_or_nan(server_context_switches(result), figure_delivered(result));
}

static double growth_between(uint64_t from, uint64_t to)
{
    return (double)to - (double)from;
}

static double connections_between_samples(const struct result *result)
{
    return is_idle_result(result) ? (double)(result->users - result->first) : NAN;
}

double figure_memory(const struct result *result)
{
    const struct usage *from = &result->half.server, *to = &result->full.server;
    if (to->cpu == 0)
        return NAN;
    return divide_or_nan(growth_between(from->anonymous, to->anonymous) +
                             growth_between(from->shared, to->shared),
                         connections_between_samples(result));
}

double figure_kernel(const struct result *result)
{
    return divide_or_nan(growth_between(result->half.machine.kernel, result->full.machine.kernel),
                         connections_between_samples(result));
}

double figure_idle_cpu(const struct result *result)
{
    return is_idle_result(result) ? server_cpu_ns(result) / 1e6 / result_seconds(result) : NAN;
}

double figure_wakeups(const struct result *result)
{
    return is_idle_result(result) ? server_context_switches(result) / result_seconds(result) : NAN;
}

static int compare_by_size(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

double figure_gap_median(const struct result *result)
{
    static uint64_t gap[EVENTS_MAX];
    const uint32_t count = result->events;

    if (count == 0)
        return NAN;
    for (uint32_t i = 0; i < count; i++)
        gap[i] = result->event[i].worst;
    qsort(gap, count, sizeof(gap[0]), compare_by_size);
    const size_t below = (count - 1) / 2, above = count / 2; /* equal if the count is odd */
    return (double)(gap[below] + gap[above]) / 2 / BENCH_MS;
}

/* Returns the event after which a push took longest, or NULL. */
static const struct event_result *find_worst_event(const struct result *result)
{
    const struct event_result *worst = NULL;

    for (uint32_t i = 0; i < result->events; i++)
        if (!worst || result->event[i].worst > worst->worst)
            worst = &result->event[i];
    return worst;
}

double event_stall(const struct event_result *event)
{
    return event->stall == UINT64_MAX ? NAN : (double)event->stall / BENCH_MS;
}

double figure_gap_worst(const struct result *result)
{
    const struct event_result *worst = find_worst_event(result);
    return worst ? (double)worst->worst / BENCH_MS : NAN;
}

double figure_stall_of_worst(const struct result *result)
{
    const struct event_result *worst = find_worst_event(result);
    return worst ? event_stall(worst) : NAN;
}

double figure_back_worst(const struct result *result)
{
    uint64_t worst = 0;

    for (uint32_t i = 0; i < result->events; i++)
        worst = result->event[i].back > worst ? result->event[i].back : worst;
    return worst == 0 ? NAN : (double)worst / BENCH_MS;
}

/* Returns the percentage of the machine's total CPU time. */
static double percent_of_machine(const struct result *result, double ns)
{
    const double processors = (double)sysconf(_SC_NPROCESSORS_ONLN);
    return divide_or_nan(100 * ns, (double)(result->ended.at - result->began.at) * processors);
}

static double own_cpu_ns(const struct result *result)
{
    return (double)(result->ended.own.cpu - result->began.own.cpu);
}

double figure_share_server(const struct result *result)
{
    return percent_of_machine(result, server_cpu_ns(result));
}

double figure_share_redis(const struct result *result)
{
    return percent_of_machine(result, redis_cpu_ns(result));
}

double figure_share_own(const struct result *result)
{
    return percent_of_machine(result, own_cpu_ns(result));
}

double figure_share_others(const struct result *result)
{
    const double busy = (double)(result->ended.machine.busy - result->began.machine.busy);
    const double known =
        server_cpu_ns(result) + (isnan(redis_cpu_ns(result)) ? 0 : redis_cpu_ns(result));
    return percent_of_machine(result, fmax(0, busy - known - own_cpu_ns(result)));
}
