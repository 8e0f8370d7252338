/*
 * wspush-bench: generates load for a push server and measures the result exactly: every push has a
 * number and a time, so that each loss, duplicate, delay and reordering is noticed.
 *
 *   bench.c ─▶ bench_options ─▶ bench_modes       the command line
 *      │
 *      ├▶ bench_run ─┬▶ bench_publisher ─▶ bench_pipe ─▶ bench_medium   (process: publishes)
 *      │   main      ├▶ bench_swarm ─▶ bench_client ─▶ bench_account    (processes: clients)
 *      │   process   ├▶ bench_proc, bench_calls                         the server, from outside
 *      │             └▶ bench_progress
 *      │                    all of them share bench_board
 *      └▶ bench_report, bench_json ─▶ bench_figures                     the table, the JSON
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "tools/bench_options.h"
#include "tools/bench_report.h"
#include "tools/bench_run.h"

enum { EXIT_USAGE = 1, EXIT_UNMEASURED = 2, EXIT_LOST = 3 };

static void on_run_stop_signal(int signal_number)
{
    (void)signal_number;
    run_stop();
}

static bool report_if_wrong(const char *where, const char *wrong)
{
    if (wrong != NULL)
        fprintf(stderr, "wspush-bench: %s: %s\n", where, wrong);
    return wrong != NULL;
}

/* Resolves the addresses of the clients, one for each URL, and of the publisher. Returns false if a
 * name cannot be resolved. */
static bool resolve_all_targets(const struct options *options, struct target *clients,
                                struct target *publish)
{
    for (size_t i = 0; i < options->urls; i++) {
        const struct url *url = &options->url[i];
        if (report_if_wrong((const char *)url->authority.at, target_resolve(&clients[i], url)))
            return false;
    }
    return !report_if_wrong(options->publish, target_resolve_text(publish, options->publish_at));
}

static bool is_table_wanted(const struct options *options)
{
    return options->json == NULL || options->json[0] != '-' || options->json[1] != '\0';
}

/* Runs all modes. Returns the exit status. */
static int run_all_modes(const struct options *options, struct result *result, json_t *results)
{
    struct target clients[NODES_MAX], publish;
    int status = EXIT_SUCCESS;

    if (!resolve_all_targets(options, clients, &publish))
        return EXIT_UNMEASURED;
    if (is_table_wanted(options))
        report_begin(options);
    for (size_t i = 0; i < options->runs; i++) {
        if (!run_mode(result, options, options->run[i], clients, &publish))
            return EXIT_UNMEASURED;
        if (is_table_wanted(options))
            report_result(result, options);
        json_array_append_new(results, report_json(result, options));
        if (!result_good(result))
            status = EXIT_LOST;
    }
    if (options->json != NULL && !report_write(options->json, results)) {
        perror(options->json);
        return EXIT_UNMEASURED;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    const struct sigaction action = {.sa_handler = on_run_stop_signal};

    const enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN) {
        options_free(&options);
        return parsed == OPTIONS_DONE ? EXIT_SUCCESS : EXIT_USAGE;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct result *result = calloc(1, sizeof(*result));
    json_t *results = json_array();
    const int status = result != NULL && results != NULL ? run_all_modes(&options, result, results)
                                                         : EXIT_UNMEASURED;
    json_decref(results);
    free(result);
    options_free(&options);
    return status;
}
