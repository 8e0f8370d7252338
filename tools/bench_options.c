/*
 * Parses the command line by the table in bench_options.h. Every mistake is reported before the
 * first packet is sent. Options may be given before and after the URL; `--name=value` is the same
 * as `--name value` (getopt_long(3)).
 */
#include "tools/bench_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef WSPUSHD_VERSION
#define WSPUSHD_VERSION "unversioned"
#endif

enum kind { KIND_TEXT, KIND_NUMBER, KIND_TIME, KIND_FLAG };

struct row {
    const char *name, *value, *help;
    enum kind kind;
    size_t field; /* offset in struct options */
    uint64_t by_default, least, most;
};

static const struct row rows[] = {
#define AT(field)                        offsetof(struct options, field)
#define ROW_TEXT(field, name, arg, help) {name, arg, help, KIND_TEXT, AT(field), 0, 0, 0},
#define ROW_NUMBER(field, name, arg, by_default, least, most, help) \
    {name, arg, help, KIND_NUMBER, AT(field), by_default, least, most},
#define ROW_TIME(field, name, arg, by_default, help) \
    {name, arg, help, KIND_TIME, AT(field), by_default, 0, 86400000},
#define ROW_FLAG(field, name, help) {name, "", help, KIND_FLAG, AT(field), 0, 0, 0},
    BENCH_OPTIONS(ROW_TEXT, ROW_NUMBER, ROW_TIME, ROW_FLAG)};
#undef AT
#undef ROW_TEXT
#undef ROW_NUMBER
#undef ROW_TIME
#undef ROW_FLAG

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static enum options_result refuse_bench_usage(const char *what, const char *why)
{
    fprintf(stderr, "wspush-bench: %s: %s\nTry 'wspush-bench --help'.\n", what, why);
    return OPTIONS_WRONG;
}

static void print_option_default(const struct row *row)
{
    if (row->by_default == OPTION_UNSET || row->by_default == 0)
        return;
    if (row->kind == KIND_TIME)
        printf(" (default %gs)", (double)row->by_default / 1000);
    else if (row->kind == KIND_NUMBER)
        printf(" (default %llu)", (unsigned long long)row->by_default);
}

static void print_bench_help(void)
{
    printf(
        "usage: wspush-bench [options] URL...\n"
        "Generates load for a push server: clients of URL (ws://host:port/path), and pushes\n"
        "to them by Redis. Each push is numbered, so that lost, doubled or reordered pushes show.\n"
        "Several URLs are the nodes of a server; the clients are distributed among them.\n\n"
        "options:\n");
    for (size_t i = 0; i < ROWS; i++) {
        printf("  %-21s %-9s %s", rows[i].name, rows[i].value, rows[i].help);
        print_option_default(&rows[i]);
        putchar('\n');
    }
    printf("\nmodes:\n");
    for (size_t i = 0; i < modes_len; i++)
        printf("  %-21s %s\n", modes[i].name, modes[i].text);
    printf("\nexit status: 0 all arrived, 1 wrong usage, 2 the measurement failed, 3 something was "
           "lost,\n"
           "doubled, out of order, refused, misdelivered or closed\n");
}

/* Parses "5s", "500ms", "2m" or "5" (seconds) into milliseconds. */
static bool parse_time_text(const char *text, double *ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"", 1000}};
    char *end;
    const double value = strtod(text, &end);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (end != text && strcmp(end, units[i].unit) == 0) {
            *ms = value * units[i].ms;
            return true;
        }
    }
    return false;
}

static const char *explain_number_bounds(const struct row *row)
{
    static char why[96];
    snprintf(why, sizeof(why), "expected a number from %llu to %llu",
             (unsigned long long)row->least, (unsigned long long)row->most);
    return why;
}

static const char *set_bench_number(const struct row *row, void *field, const char *text)
{
    char *end;

    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value < row->least ||
        value > row->most)
        return explain_number_bounds(row);
    *(uint64_t *)field = value;
    return NULL;
}

static const char *set_bench_time(const struct row *row, void *field, const char *text)
{
    double ms = 0;

    if (!parse_time_text(text, &ms) || !(ms >= 0 && ms <= (double)row->most))
        return "expected a time of at most a day, such as 5s, 500ms or 2m";
    *(uint64_t *)field = (uint64_t)ms;
    return NULL;
}

/* Sets the field of a row. Returns NULL or a description of the error. */
static const char *set_bench_option(struct options *options, const struct row *row,
                                    const char *text)
{
    void *field = (char *)options + row->field;

    switch (row->kind) {
    case KIND_TEXT:
        *(const char **)field = text;
        return NULL;
    case KIND_NUMBER:
        return set_bench_number(row, field, text);
    case KIND_TIME:
        return set_bench_time(row, field, text);
    case KIND_FLAG:
        *(bool *)field = true;
        return NULL;
    }
    return NULL;
}

static void set_bench_defaults(struct options *options)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].kind == KIND_NUMBER || rows[i].kind == KIND_TIME)
            *(uint64_t *)((char *)options + rows[i].field) = rows[i].by_default;
    }
    options->mode = "unicast";
    options->dialect = "wspush";
    options->format = "raw";
    options->publish = "redis://127.0.0.1:6379";
    options->topic_name = "bench:{}";
}

/* Resolves "unicast,burst" to the modes. */
static const char *find_requested_modes(struct options *options)
{
    for (const char *at = options->mode; *at != '\0';) {
        const size_t len = strcspn(at, ",");
        const struct mode *mode = mode_find(at, len);
        if (mode == NULL)
            return "unknown mode";
        if (options->runs == MODES_MAX)
            return "too many modes";
        options->run[options->runs++] = mode;
        at += len + (at[len] == ',');
    }
    return options->runs > 0 ? NULL : "expected a mode";
}

static void choose_channel_patterns(struct options *options)
{
    const char *const given[SOURCE_STREAMS] = {
        [SOURCE_USER] = options->user_channel,
        [SOURCE_TOPIC] = options->topic_channel,
        [SOURCE_ALL] = options->all_channel,
    };
    for (unsigned i = 0; i < SOURCE_STREAMS; i++)
        options->channel[i] = given[i] != NULL ? given[i] : options->medium->channel[i];
}

static bool pattern_has_number(const char *pattern)
{
    return strlen(pattern) < CHANNEL_MAX / 2 && strstr(pattern, "{}") != NULL;
}

/* Returns what a mode requires that was not given, or NULL. */
static const char *check_mode_requirements(const struct options *options, const struct mode *mode)
{
    if (mode->event != EVENT_NONE && mode->event != EVENT_PAUSE && options->servers == 0)
        return "requires --server-pid";
    if ((mode->topics > 0 || mode->requests > 0) && !options->speaks->opcodes)
        return "requires --dialect wspush: the others have no topics and no requests";
    if (mode->event == EVENT_UPGRADE && options->speaks->opcodes == false)
        return "works only with wspushd";
    if (mode->churn && options->connections < 4)
        return "requires at least 4 connections";
    return NULL;
}

/* Parses "123,456" into process ids. */
static const char *parse_server_pids(struct options *options)
{
    for (const char *at = options->server_pid; at != NULL && *at != '\0';) {
        char *end;
        const long pid = strtol(at, &end, 10);
        if (!isdigit((unsigned char)*at) || (*end != ',' && *end != '\0') || pid < 1 ||
            pid > INT32_MAX)
            return "expected process ids separated by commas";
        if (options->servers == NODES_MAX)
            return "too many processes";
        options->server[options->servers++] = (pid_t)pid;
        at = end + (*end == ',');
    }
    return NULL;
}

static enum options_result check_bench_conflicts(struct options *options)
{
    options->speaks = dialect_find(options->dialect);
    options->medium = medium_find(options->publish);
    options->envelope = strcmp(options->format, "envelope") == 0;
    if (options->speaks == NULL)
        return refuse_bench_usage("--dialect", "expected wspush, plain or socketio");
    if (options->medium == NULL)
        return refuse_bench_usage("--publish", "expected redis://HOST:PORT or http://HOST:PORT");
    if (!options->envelope && strcmp(options->format, "raw") != 0)
        return refuse_bench_usage("--format", "expected raw or envelope");
    options->publish_at = options->publish + strlen(options->medium->scheme);
    choose_channel_patterns(options);
    if (!pattern_has_number(options->channel[SOURCE_USER]) || strlen(options->topic_name) > 100)
        return refuse_bench_usage("--user-channel", "expected a pattern with {}, not too long");
    if (options->processes > options->connections)
        options->processes = options->connections;
    if (options->first != OPTION_UNSET && options->first >= options->connections)
        return refuse_bench_usage("--first", "must be below --connections");
    const char *wrong = parse_server_pids(options);
    if (wrong != NULL)
        return refuse_bench_usage("--server-pid", wrong);
    if (options->jwt_key != NULL)
        wrong = token_key_read(&options->token_key, options->jwt_key);
    if (wrong != NULL)
        return refuse_bench_usage(options->jwt_key, wrong);
    wrong = find_requested_modes(options);
    if (wrong != NULL)
        return refuse_bench_usage(options->mode, wrong);
    for (size_t i = 0; i < options->runs; i++) {
        wrong = check_mode_requirements(options, options->run[i]);
        if (wrong != NULL)
            return refuse_bench_usage(options->run[i]->name, wrong);
    }
    return OPTIONS_RUN;
}

/* Takes all options. Returns false after printing an error. */
static bool take_all_options(struct options *options, int argc, char **argv)
{
    struct option known[ROWS + 1] = {0};

    for (size_t i = 0; i < ROWS; i++) {
        const int argument = rows[i].kind == KIND_FLAG ? no_argument : required_argument;
        known[i] = (struct option){rows[i].name + 2, argument, NULL, 0};
    }
    for (int result, row = 0; (result = getopt_long(argc, argv, "h", known, &row)) != -1;) {
        if (result == 'h')
            options->help = true;
        if (result == '?') {
            fputs("Try 'wspush-bench --help'.\n", stderr);
            return false;
        }
        const char *wrong = result == 0 ? set_bench_option(options, &rows[row], optarg) : NULL;
        if (wrong != NULL) {
            refuse_bench_usage(rows[row].name, wrong);
            return false;
        }
    }
    return true;
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
    set_bench_defaults(options);
    if (!take_all_options(options, argc, argv))
        return OPTIONS_WRONG;
    if (options->help || options->version) {
        if (options->help)
            print_bench_help();
        else
            puts("wspush-bench " WSPUSHD_VERSION);
        return OPTIONS_DONE;
    }
    if (optind == argc)
        return refuse_bench_usage("URL", "missing");
    for (; optind < argc; optind++) {
        if (options->urls == NODES_MAX)
            return refuse_bench_usage(argv[optind], "too many URLs");
        const char *wrong = url_parse(&options->url[options->urls++], argv[optind], NULL);
        if (wrong != NULL)
            return refuse_bench_usage(argv[optind], wrong);
    }
    return check_bench_conflicts(options);
}

void options_free(struct options *options)
{
    for (size_t i = 0; i < options->urls; i++)
        url_free(&options->url[i]);
}
