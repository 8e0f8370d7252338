/*
 * Parses the command line by the table in wspush_options.h. Every mistake is reported before the
 * first packet is sent. Options may be given before and after the URL; `--name=value` is the same
 * as `--name value`. Refuses headers that the handshake itself writes, and header values with
 * control characters, which could add further headers.
 */
#include "tools/wspush_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/wspush_input.h"

#ifndef WSPUSHD_VERSION
#define WSPUSHD_VERSION "unversioned"
#endif

/* A kind of option: the number of its arguments, and how they are stored. `set` returns NULL or a
 * description of the error. */
struct kind {
    int arity;
    const char *(*set)(void *field, char *const *arg);
};

static const char *set_flag_option(void *field, char *const *arg)
{
    (void)arg;
    *(bool *)field = true;
    return NULL;
}

static const char *set_text_option(void *field, char *const *arg)
{
    *(const char **)field = arg[0];
    return NULL;
}

static const char *set_list_option(void *field, char *const *arg)
{
    struct text_list *list = field;
    const char **item = reallocarray(list->item, list->count + 1, sizeof(*item));
    if (item == NULL)
        return strerror(errno);
    list->item = item;
    list->item[list->count++] = arg[0];
    return NULL;
}

static const char *set_time_option(void *field, char *const *arg)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"", 1000}};

    char *end;
    const double value = strtod(arg[0], &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        const double ms = value * units[i].ms;
        if (end != arg[0] && strcmp(end, units[i].unit) == 0 && ms >= 1 && ms <= 86400e3) {
            *(uint64_t *)field = (uint64_t)ms;
            return NULL;
        }
    }
    return "expected a time from 1ms to a day, such as 5s, 500ms or 2m";
}

static const char *set_number_option(void *field, char *const *arg)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(arg[0], &end, 10);
    if (!isdigit((unsigned char)arg[0][0]) || *end != '\0' || errno != 0 || value == 0)
        return "expected a number of at least 1";
    *(uint64_t *)field = value;
    return NULL;
}

static const char *set_sends_option(void *field, char *const *arg)
{
    struct send_list *list = field;
    struct send send = {0};
    if (!opcode_parse(arg[0], strlen(arg[0]), &send.op))
        return "the first value must be an opcode, a number";
    const char *wrong = payload_parse(&send.payload, arg[1]);
    if (wrong != NULL)
        return wrong;
    buffer_string(&send.payload); /* not NULL, even if it is empty */
    struct send *item = reallocarray(list->item, list->count + 1, sizeof(*item));
    if (item == NULL)
        return strerror(errno);
    list->item = item;
    list->item[list->count++] = send;
    return NULL;
}

struct row {
    const char *name, *value, *help;
    struct kind kind;
    size_t field; /* offset in struct options */
};

static const struct row rows[] = {
#define AT(field)                        offsetof(struct options, field)
#define ROW_FLAG(field, name, help)      {name, "", help, {0, set_flag_option}, AT(field)},
#define ROW_TEXT(field, name, arg, help) {name, arg, help, {1, set_text_option}, AT(field)},
#define ROW_LIST(field, name, arg, help) {name, arg, help, {1, set_list_option}, AT(field)},
#define ROW_TIME(field, name, arg, help) {name, arg, help, {1, set_time_option}, AT(field)},
#define ROW_NUM(field, name, arg, help)  {name, arg, help, {1, set_number_option}, AT(field)},
#define ROW_SEND(field, name, arg, help) {name, arg, help, {2, set_sends_option}, AT(field)},
    OPTIONS(ROW_FLAG, ROW_TEXT, ROW_LIST, ROW_TIME, ROW_NUM, ROW_SEND)};
#undef AT
#undef ROW_FLAG
#undef ROW_TEXT
#undef ROW_LIST
#undef ROW_TIME
#undef ROW_NUM
#undef ROW_SEND

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void print_usage_help(void)
{
    printf("usage: wspush [options] URL\n"
           "An interactive WebSocket client for wspushd. URL is ws://host:port/path, wss://...\n"
           "or ws+unix:///path/of/socket:/path.\n\noptions:\n");
    for (size_t i = 0; i < ROWS; i++)
        printf("  %-14s %-14s %s\n", rows[i].name, rows[i].value, rows[i].help);
    printf(
        "\nA PAYLOAD is sent as text. @FILE sends a file's bytes, hex:00ff those bytes; text:...\n"
        "sends a text that itself starts with one of these.\n\nCommands on standard input:\n");
    commands_describe(stdout);
    printf("\nexit status: 0 success, 1 wrong usage, 2 could not connect or refused, 3 timeout,\n"
           "4 closed by the server, and reconnecting would not help\n");
}

static enum options_result refuse_usage(const char *what, const char *why)
{
    fprintf(stderr, "wspush: %s: %s\nTry 'wspush --help'.\n", what, why);
    return OPTIONS_WRONG;
}

/* Returns the row of the option that `arg` names, and the length of that name; NULL if there is
 * none. */
static const struct row *find_option_row(const char *arg, size_t *len)
{
    if (strcmp(arg, "-h") == 0)
        arg = "--help";
    *len = strcspn(arg, "=");
    for (size_t i = 0; i < ROWS; i++) {
        if (strlen(rows[i].name) == *len && memcmp(rows[i].name, arg, *len) == 0)
            return &rows[i];
    }
    return NULL;
}

/* Takes the option at argv[0]; *used is set to the number of arguments it consumes, of the `left`
 * ones. Returns NULL or a description of the error. */
static const char *take_one_option(struct options *options, char **argv, int left, int *used)
{
    size_t len;
    const struct row *row = find_option_row(argv[0], &len);
    if (row == NULL)
        return "unknown option";
    void *field = (char *)options + row->field;
    *used = 1 + row->kind.arity;
    if (argv[0][len] == '=') {
        if (row->kind.arity != 1)
            return "does not take a value after =";
        *used = 1;
        return row->kind.set(field, &(char *){argv[0] + len + 1});
    }
    if (left < *used)
        return row->kind.arity == 1 ? "expected a value" : "expected two values";
    return row->kind.set(field, argv + 1);
}

/* Checks that a header line may be sent: a token, a colon, a value without control characters (RFC
 * 9110 §5.1, §5.5), and not a header that the handshake writes. */
static const char *check_header_line(const char *line)
{
    const size_t name = strspn(line, "!#$%&'*+-.^_`|~0123456789"
                                     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (name == 0 || line[name] != ':')
        return "expected a header of the form 'Name: value'";
    if ((name == 7 && strncasecmp(line, "upgrade", name) == 0) ||
        (name == 10 && strncasecmp(line, "connection", name) == 0) ||
        strncasecmp(line, "sec-websocket-", 14) == 0)
        return "wspush sets this header itself";
    return NULL;
}

static bool has_control_character(const char *text)
{
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return true;
    }
    return false;
}

static enum options_result check_credential_text(const struct options *options)
{
    static const char control[] = "control characters are not allowed";

    if (options->token != NULL && has_control_character(options->token))
        return refuse_usage("--token", control);
    for (size_t i = 0; i < options->cookies.count; i++) {
        if (has_control_character(options->cookies.item[i]))
            return refuse_usage("--cookie", control);
    }
    for (size_t i = 0; i < options->headers.count; i++) {
        const char *line = options->headers.item[i];
        const char *wrong = has_control_character(line) ? control : check_header_line(line);
        if (wrong != NULL)
            return refuse_usage("--header", wrong);
    }
    return OPTIONS_RUN;
}

static enum options_result check_option_conflicts(const struct options *options)
{
    if (options->json && options->echo)
        return refuse_usage("--json", "cannot be used with --echo");
    if (options->sends.count > 0 && options->echo)
        return refuse_usage("--send", "cannot be used with --echo, which has no opcodes");
    if (options->every > 0 && options->sends.count == 0)
        return refuse_usage("--every", "requires a --send to repeat");
    return check_credential_text(options);
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
    const char *url = NULL;
    bool only_url = false; /* after "--" */
    for (int i = 1, used = 1; i < argc; i += used, used = 1) {
        if (!only_url && strcmp(argv[i], "--") == 0) {
            only_url = true;
        } else if (!only_url && argv[i][0] == '-') {
            const char *wrong = take_one_option(options, argv + i, argc - i, &used);
            if (wrong != NULL)
                return refuse_usage(argv[i], wrong);
        } else if (url == NULL) {
            url = argv[i];
        } else {
            return refuse_usage(argv[i], "only one URL is allowed");
        }
    }
    if (options->help || options->version) {
        if (options->help)
            print_usage_help();
        else
            puts("wspush " WSPUSHD_VERSION);
        return OPTIONS_DONE;
    }
    if (url == NULL)
        return refuse_usage("URL", "missing");
    const char *wrong = url_parse(&options->url, url, options->user);
    return wrong != NULL ? refuse_usage(url, wrong) : check_option_conflicts(options);
}

void options_free(struct options *options)
{
    for (size_t i = 0; i < options->sends.count; i++)
        buffer_free(&options->sends.item[i].payload);
    free(options->sends.item);
    free(options->headers.item);
    free(options->cookies.item);
    url_free(&options->url);
}
