/*
 * Results as JSON: the figures, the latency curve, the effect of each event, and how it was
 * measured, so that a file can be read years later.
 */
#include "tools/bench_report.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/bench_clock.h"
#include "tools/bench_figures.h"

#ifndef WSPUSHD_VERSION
#define WSPUSHD_VERSION "unversioned"
#endif

/* The points of the curve: closer together at the high percentiles. */
static const double curve[] = {1,  5,  10, 25,   50,   75,   80,    85,    90,     92.5, 95,
                               97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99, 99.999, 100};

static void set_json_number(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, isnan(value) ? json_null() : json_real(value));
}

static void set_json_count(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *make_curve_json(const struct histogram *histogram)
{
    json_t *points = json_array();

    for (size_t i = 0; histogram->count > 0 && i < sizeof(curve) / sizeof(curve[0]); i++) {
        json_t *point = json_array();
        json_array_append_new(point, json_real(curve[i]));
        json_array_append_new(point,
                              json_real((double)histogram_percentile(histogram, curve[i]) / 1e3));
        json_array_append_new(points, point);
    }
    return points;
}

static json_t *make_events_json(const struct result *result)
{
    json_t *events = json_array();

    for (uint32_t i = 0; i < result->events; i++) {
        const struct event_result *from = &result->event[i];
        json_t *event = json_object();
        set_json_number(event, "at_s", (double)(from->at - result->began.at) / BENCH_S);
        set_json_number(event, "gap_ms", (double)from->worst / BENCH_MS);
        set_json_number(event, "stall_ms", event_stall(from));
        set_json_count(event, "closed", from->closed);
        set_json_count(event, "returned", from->returned);
        set_json_number(event, "back_ms", from->returned > 0 ? (double)from->back / BENCH_MS : NAN);
        json_array_append_new(events, event);
    }
    return events;
}

static json_t *make_settings_json(const struct result *result, const struct options *options)
{
    json_t *how = json_object();

    json_object_set_new(how, "version", json_string(WSPUSHD_VERSION));
    json_object_set_new(how, "server", json_string((const char *)options->url[0].authority.at));
    set_json_count(how, "nodes", options->urls);
    json_object_set_new(how, "dialect", json_string(options->speaks->name));
    json_object_set_new(how, "publish", json_string(options->publish));
    json_object_set_new(how, "format", json_string(options->envelope ? "envelope" : "raw"));
    set_json_count(how, "connections", result->users);
    set_json_count(how, "processes", options->processes);
    set_json_count(how, "rate", result->rate);
    set_json_count(how, "window", result->window);
    set_json_count(how, "size", options->size);
    set_json_count(how, "burst", options->burst);
    set_json_count(how, "topics", options->topics);
    set_json_count(how, "seed", options->seed);
    set_json_count(how, "warmup_ms", options->warmup);
    return how;
}

static json_t *make_counts_json(const struct result *result)
{
    json_t *counts = json_object();

#define PUT_COUNT(name, text) set_json_count(counts, #name, result->clients.name);
    SWARM_COUNTS(PUT_COUNT)
#undef PUT_COUNT
    set_json_count(counts, "published", result->published);
    set_json_count(counts, "answered", result->answered);
    set_json_count(counts, "receivers", result->receivers);
    set_json_count(counts, "nobody", result->nobody);
    set_json_count(counts, "failed", result->failed);
    return counts;
}

json_t *report_json(const struct result *result, const struct options *options)
{
    json_t *root = json_object();

    json_object_set_new(root, "mode", json_string(result->mode->name));
    json_object_set_new(root, "good", json_boolean(result_good(result)));
#define PUT_FIGURE(name, function, text) set_json_number(root, #name, function(result));
    FIGURES(PUT_FIGURE)
#undef PUT_FIGURE
    json_object_set_new(root, "counts", make_counts_json(result));
    json_object_set_new(root, "latency_us", make_curve_json(&result->latency));
    json_object_set_new(root, "connect_us", make_curve_json(&result->connects));
    json_object_set_new(root, "lag_us", make_curve_json(&result->lag));
    json_object_set_new(root, "events", make_events_json(result));
    json_object_set_new(root, "how", make_settings_json(result, options));
    if (result->no_calls != NULL)
        json_object_set_new(root, "no_calls", json_string(result->no_calls));
    return root;
}

bool report_write(const char *path, const json_t *results)
{
    const size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(9);

    if (strcmp(path, "-") == 0)
        return json_dumpf(results, stdout, flags) == 0 && putchar('\n') != EOF;
    return json_dump_file(results, path, flags) == 0;
}
