/*
 * The table: one row for each mode, below it lines for what only some modes have. A column that has
 * nothing to say shows a dash: nothing is shown that was not measured.
 */
#include "tools/bench_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench_clock.h"
#include "tools/bench_figures.h"

/* The columns. X(head, width, decimals, figure) */
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

/* A number with commas between the thousands; a dash where it is none. */
static const char *number(double value, int decimals)
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
           number((double)options->size, 0), "mode");
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        printf(" %*s", columns[i].width, columns[i].head);
    putchar('\n');
}

static void note_load(const struct result *result)
{
    const double published = (double)(result->ended.published - result->began.published);

    if (result->published > 0 && result->rate > 0)
        printf("          %s pushes at %s/s; the generator handed them over %s us late (p99), "
               "%s at most\n",
               number(published, 0), number((double)result->rate, 0),
               number((double)histogram_percentile(&result->lag, 99) / 1e3, 0),
               number((double)result->lag.largest / 1e3, 0));
    else if (result->published > 0)
        printf("          %s pushes, window %s\n", number(published, 0),
               number((double)result->window, 0));
    if (result->clients.requests > 0)
        printf("          %s requests, %s answered, %s refused, %s without an answer\n",
               number((double)result->clients.requests, 0),
               number((double)result->clients.accepted, 0),
               number((double)result->clients.rejected, 0), number((double)result->unanswered, 0));
}

static void note_clients(const struct result *result)
{
    const struct swarm_sums *sums = &result->clients;

    if (sums->closed + sums->left + sums->refused > 0)
        printf("          connections: %s closed by the server, %s left on purpose, %s attempts "
               "failed%s%s\n",
               number((double)sums->closed, 0), number((double)sums->left, 0),
               number((double)sums->refused, 0), sums->refused > 0 ? "; the last: " : "",
               result->connect_error);
    if (sums->foreign + sums->gaps > 0)
        printf("          %s messages for somebody else or of no known kind, %s GAPs\n",
               number((double)sums->foreign, 0), number((double)sums->gaps, 0));
    if (result->failed > 0)
        printf("          %s publications failed; the last: %s\n",
               number((double)result->failed, 0), result->publish_error);
}

static void note_use(const struct result *result)
{
    if (result->first > 0)
        printf("          bytes a connection, from %s to %s: %s of the server's, %s of the "
               "kernel's (both ends)\n          with nothing to do: %s ms of CPU and %s wake-ups a "
               "second\n",
               number(result->first, 0), number(result->users, 0), number(figure_memory(result), 1),
               number(figure_kernel(result), 0), number(figure_idle_cpu(result), 2),
               number(figure_wakeups(result), 1));
    if (!isnan(figure_calls(result)))
        printf("          %s system calls of the server for each\n",
               number(figure_calls(result), 3));
    printf("          CPU of the machine: server %s %%, Redis %s %%, this program %s %%, others "
           "%s %%\n",
           number(figure_share_server(result), 0), number(figure_share_redis(result), 0),
           number(figure_share_own(result), 0), number(figure_share_others(result), 0));
}

static void note_events(const struct result *result)
{
    uint64_t closed = 0, returned = 0;

    if (result->events == 0)
        return;
    for (uint32_t i = 0; i < result->events; i++) {
        closed += result->event[i].closed;
        returned += result->event[i].returned;
    }
    printf("          %u times: the longest wait of a push %s ms (median), %s ms (worst)\n",
           result->events, number(figure_gap_median(result), 1),
           number(figure_gap_worst(result), 1));
    if (!isnan(figure_stall_of_worst(result)))
        printf("          in the worst of them the machine itself stood still for %s ms\n",
               number(figure_stall_of_worst(result), 1));
    if (closed > 0)
        printf("          %s connections were closed; %s came back, after %s ms at most\n",
               number((double)closed, 0), number((double)returned, 0),
               number(figure_back_worst(result), 1));
}

void report_result(const struct result *result, const struct options *options)
{
    printf("%-9s", result->mode->name);
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        printf(" %*s", columns[i].width, number(columns[i].figure(result), columns[i].decimals));
    putchar('\n');
    note_load(result);
    note_clients(result);
    note_use(result);
    note_events(result);
    if (options->syscalls && result->no_calls != NULL)
        printf("          system calls were not counted: %s\n", result->no_calls);
    fflush(stdout);
}
