/*
 * Figures from samples: differences of what was counted at two moments, over the work done between
 * them. A run that connects counts connections as its work; one that does nothing has none, so its
 * costs are told by the second.
 */
#include "tools/bench_figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench_clock.h"

static bool connects_only(const struct result *result)
{
    return strcmp(result->mode->name, "connect") == 0;
}

static bool is_idle(const struct result *result)
{
    return result->first > 0;
}

/* Whose times the latency columns show. */
static const struct histogram *times(const struct result *result)
{
    return connects_only(result) || is_idle(result) ? &result->connects : &result->latency;
}

static double percentile_us(const struct result *result, double percent)
{
    const struct histogram *histogram = times(result);
    return histogram->count == 0 ? NAN : (double)histogram_percentile(histogram, percent) / 1e3;
}

static double ratio(double a, double b)
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
    if (connects_only(result))
        return (double)result->ended.clients.opened;
    return is_idle(result) ? NAN : (double)result_deliveries(result);
}

double figure_rate(const struct result *result)
{
    return ratio(figure_delivered(result), result_seconds(result));
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
    return percentile_us(result, 50);
}

double figure_p90(const struct result *result)
{
    return percentile_us(result, 90);
}

double figure_p99(const struct result *result)
{
    return percentile_us(result, 99);
}

double figure_p999(const struct result *result)
{
    return percentile_us(result, 99.9);
}

double figure_max(const struct result *result)
{
    return percentile_us(result, 100);
}

double figure_mean(const struct result *result)
{
    return times(result)->count == 0 ? NAN : histogram_mean(times(result)) / 1e3;
}

static double server_ns(const struct result *result)
{
    const uint64_t from = result->began.server.cpu, to = result->ended.server.cpu;
    return to == 0 ? NAN : (double)(to - from); /* 0: whose it is was not told */
}

static double redis_ns(const struct result *result)
{
    const uint64_t from = result->began.redis.cpu, to = result->ended.redis.cpu;
    return to == 0 ? NAN : (double)(to - from);
}

double figure_server(const struct result *result)
{
    return ratio(server_ns(result) / 1e3, figure_delivered(result));
}

double figure_redis(const struct result *result)
{
    return ratio(redis_ns(result) / 1e3, figure_delivered(result));
}

double figure_user(const struct result *result)
{
    const double user = (double)(result->ended.server.user - result->began.server.user);
    const double system = (double)(result->ended.server.system - result->began.server.system);
    return ratio(user, user + system);
}

double figure_calls(const struct result *result)
{
    if (result->no_calls != NULL)
        return NAN;
    return ratio((double)(result->ended.calls - result->began.calls), figure_delivered(result));
}

static double switches(const struct result *result)
{
    if (result->ended.server.cpu == 0 || result->ended.server.switches == 0)
        return NAN;
    /* A process that died has taken its count with it. */
    return fmax(0, (double)result->ended.server.switches - (double)result->began.server.switches);
}

double figure_switches(const struct result *result)
{
    return result->mode->event == EVENT_KILL ? NAN
                                             : ratio(switches(result), figure_delivered(result));
}

static double grown(uint64_t from, uint64_t to)
{
    return (double)to - (double)from;
}

static double connections_between(const struct result *result)
{
    return is_idle(result) ? (double)(result->users - result->first) : NAN;
}

double figure_memory(const struct result *result)
{
    const struct usage *from = &result->half.server, *to = &result->full.server;
    if (to->cpu == 0)
        return NAN;
    return ratio(grown(from->anonymous, to->anonymous) + grown(from->shared, to->shared),
                 connections_between(result));
}

double figure_kernel(const struct result *result)
{
    return ratio(grown(result->half.machine.kernel, result->full.machine.kernel),
                 connections_between(result));
}

double figure_idle_cpu(const struct result *result)
{
    return is_idle(result) ? server_ns(result) / 1e6 / result_seconds(result) : NAN;
}

double figure_wakeups(const struct result *result)
{
    return is_idle(result) ? switches(result) / result_seconds(result) : NAN;
}

static int by_size(const void *a, const void *b)
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
    qsort(gap, count, sizeof(gap[0]), by_size);
    const size_t below = (count - 1) / 2, above = count / 2; /* the same, where it is odd */
    return (double)(gap[below] + gap[above]) / 2 / BENCH_MS;
}

/* The event after which a push waited longest, or NULL. */
static const struct event_result *worst_event(const struct result *result)
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
    const struct event_result *worst = worst_event(result);
    return worst ? (double)worst->worst / BENCH_MS : NAN;
}

double figure_stall_of_worst(const struct result *result)
{
    const struct event_result *worst = worst_event(result);
    return worst ? event_stall(worst) : NAN;
}

double figure_back_worst(const struct result *result)
{
    uint64_t worst = 0;

    for (uint32_t i = 0; i < result->events; i++)
        worst = result->event[i].back > worst ? result->event[i].back : worst;
    return worst == 0 ? NAN : (double)worst / BENCH_MS;
}

/* Of all that the processors of the machine could have done meanwhile. */
static double percent(const struct result *result, double ns)
{
    const double processors = (double)sysconf(_SC_NPROCESSORS_ONLN);
    return ratio(100 * ns, (double)(result->ended.at - result->began.at) * processors);
}

static double own_ns(const struct result *result)
{
    return (double)(result->ended.own.cpu - result->began.own.cpu);
}

double figure_share_server(const struct result *result)
{
    return percent(result, server_ns(result));
}

double figure_share_redis(const struct result *result)
{
    return percent(result, redis_ns(result));
}

double figure_share_own(const struct result *result)
{
    return percent(result, own_ns(result));
}

double figure_share_others(const struct result *result)
{
    const double busy = (double)(result->ended.machine.busy - result->began.machine.busy);
    const double known = server_ns(result) + (isnan(redis_ns(result)) ? 0 : redis_ns(result));
    return percent(result, fmax(0, busy - known - own_ns(result)));
}
