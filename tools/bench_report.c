/*
 * The table: one row per mode, followed by lines for what only some modes measure. A figure that
 * was not measured is a dash.
 */
#include "tools/bench_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench_clock.h"
#include "tools/bench_figures.h"

/* The columns: X(head, width, decimals, figure) */
#define COLUMNS(X)                          \
    X("clients", 8, 0, figure_clients)      \
    X("delivered", 11, 0, figure_delivered) \
    X("per s", 9, 0, figure_rate)           \
    X("lost", 6, 0, figure_lost)            \
    X("twice", 6, 0, figure_doubled)        \
    X("order", 6, 0, figure_late)           \
    X("p50 us", 9, 0, figure_p50)           \
    X("p99 us", 9, 0, figure_p99)           \
    X("p99.9", 9, 0, figure_p999)           \
    X("max", 9, 0, figure_max)              \
    X("server us", 10, 2, figure_server)    \
    X("redis us", 9, 2, figure_redis)

static const struct {
    const char *head;
    int width, decimals;
    double (*figure)(const struct result *result);
} columns[] = {
#define COLUMN(head, width, decimals, figure) {head, width, decimals, figure},
    COLUMNS(COLUMN)
#undef COLUMN
};

/* Formats a number with commas between the thousands; a dash if it is NaN. */
static const char *format_number(double value, int decimals)
{
    static char texts[8][64];
    static unsigned turn;
    char plain[48];
    char *out = texts[turn++ % 8], *to = out;

    if (isnan(value))
        return "-";
    snprintf(plain, sizeof(plain), "%.*f", decimals, value);
    const size_t whole = strcspn(plain, ".");
    for (size_t i = 0; plain[i] != '\0'; i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0 && plain[i - 1] != '-')
            *to++ = ',';
        *to++ = plain[i];
    }
    *to = '\0';
    return out;
}

void report_begin(const struct options *options)
{
    for (size_t i = 0; i < options->urls; i++)
        printf("%s, ", (const char *)options->url[i].authority.at);
    printf("%s, payloads of %s bytes\n\n%-9s", options->speaks->name,
           format_number((double)options->size, 0), "mode");
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        printf(" %*s", columns[i].width, columns[i].head);
    putchar('\n');
}

static void print_load_note(const struct result *result)
{
    const double published = (double)(result->ended.published - result->began.published);

    if (result->published > 0 && result->rate > 0)
        printf("          %s pushes at %s/s; the generator sent them %s us late (p99), "
               "%s at most\n",
               format_number(published, 0), format_number((double)result->rate, 0),
               format_number((double)histogram_percentile(&result->lag, 99) / 1e3, 0),
               format_number((double)result->lag.largest / 1e3, 0));
    else if (result->published > 0)
        printf("          %s pushes, window %s\n", format_number(published, 0),
               format_number((double)result->window, 0));
    if (result->clients.requests > 0)
        printf("          %s requests, %s answered, %s refused, %s unanswered\n",
               format_number((double)result->clients.requests, 0),
               format_number((double)result->clients.accepted, 0),
               format_number((double)result->clients.rejected, 0),
               format_number((double)result->unanswered, 0));
}

static void print_clients_note(const struct result *result)
{
    const struct swarm_sums *sums = &result->clients;

    if (sums->closed + sums->left + sums->refused > 0)
        printf("          connections: %s closed by the server, %s left on purpose, %s attempts "
               "failed%s%s\n",
               format_number((double)sums->closed, 0), format_number((double)sums->left, 0),
               format_number((double)sums->refused, 0),
               sums->refused > 0 ? "; the last error: " : "", result->connect_error);
    if (sums->foreign + sums->gaps > 0)
        printf("          %s misdelivered or unknown messages, %s GAPs\n",
               format_number((double)sums->foreign, 0), format_number((double)sums->gaps, 0));
    if (result->failed > 0)
        printf("          %s publications failed; the last error: %s\n",
               format_number((double)result->failed, 0), result->publish_error);
}

static void print_usage_note(const struct result *result)
{
    if (result->first > 0)
        printf("          bytes per connection, from %s to %s: server %s, "
               "kernel %s (both ends)\n          idle: %s ms of CPU and %s wake-ups per "
               "second\n",
               format_number(result->first, 0), format_number(result->users, 0),
               format_number(figure_memory(result), 1), format_number(figure_kernel(result), 0),
               format_number(figure_idle_cpu(result), 2), format_number(figure_wakeups(result), 1));
    if (!isnan(figure_calls(result)))
        printf("          %s system calls of the server per delivery\n",
               format_number(figure_calls(result), 3));
    printf("          CPU of the machine: server %s %%, Redis %s %%, this program %s %%, others "
           "%s %%\n",
           format_number(figure_share_server(result), 0),
           format_number(figure_share_redis(result), 0), format_number(figure_share_own(result), 0),
           format_number(figure_share_others(result), 0));
}

static void print_events_note(const struct result *result)
{
    uint64_t closed = 0, returned = 0;

    if (result->events == 0)
        return;
    for (uint32_t i = 0; i < result->events; i++) {
        closed += result->event[i].closed;
        returned += result->event[i].returned;
    }
    printf("          %u events: the longest wait of a push was %s ms (median), %s ms (worst)\n",
           result->events, format_number(figure_gap_median(result), 1),
           format_number(figure_gap_worst(result), 1));
    if (!isnan(figure_stall_of_worst(result)))
        printf("          in the worst of them the machine itself stalled for %s ms\n",
               format_number(figure_stall_of_worst(result), 1));
    if (closed > 0)
        printf("          %s connections were closed; %s came back, after %s ms at most\n",
               format_number((double)closed, 0), format_number((double)returned, 0),
               format_number(figure_back_worst(result), 1));
}

void report_result(const struct result *result, const struct options *options)
{
    printf("%-9s", result->mode->name);
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        printf(" %*s", columns[i].width,
               format_number(columns[i].figure(result), columns[i].decimals));
    putchar('\n');
    print_load_note(result);
    print_clients_note(result);
    print_usage_note(result);
    print_events_note(result);
    if (options->syscalls && result->no_calls != NULL)
        printf("          system calls were not counted: %s\n", result->no_calls);
    fflush(stdout);
}
