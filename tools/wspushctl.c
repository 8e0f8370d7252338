/*
 * wspushctl: controls a running wspushd through its admin interface.
 *
 *   wspushctl.c ─┬▶ wspushctl_show     status, top, who
 *      │         ├▶ wspushctl_user     push, kick
 *      ▼         └▶ wspushctl_change   reload, upgrade, drain: ask, then wait for the outcome
 *   wspushctl_options,       │
 *   wspushctl_token          │
 *                            └▶ wspushctl_ask ─▶ wspushctl_http (one request)
 *                                        └────▶ wspushctl_text (aligned, and safe to print)
 *
 * It gets all its data from the admin interface, and reads no file of the server except, with -c,
 * push.conf for the address of the admin interface and its token.
 */
#include "tools/wspushctl.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "tools/wspushctl_token.h"

static const char default_address[] = "127.0.0.1:8081"; /* the default in config_keys.h */

struct ctl_command {
    const char *name, *arguments, *help;
    int least, most;
    enum ctl_exit (*run)(const struct ctl *ctl);
};

static const struct ctl_command commands[] = {
#define CTL_COMMAND_ROW(name, least, most, arguments, help) \
    {#name, arguments, help, least, most, ctl_##name},
    CTL_COMMANDS(CTL_COMMAND_ROW)
#undef CTL_COMMAND_ROW
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct {
    int status;
    const char *help;
} exits[] = {
#define CTL_EXIT_ROW(name, status, help) {status, help},
    CTL_EXITS(CTL_EXIT_ROW)
#undef CTL_EXIT_ROW
};

static void print_command_help(void)
{
    printf("usage: wspushctl [options] COMMAND [ARGUMENT]...\n"
           "Controls a running wspushd through its admin interface.\n\ncommands:\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        char call[64];
        snprintf(call, sizeof(call), "%s %s", commands[i].name, commands[i].arguments);
        printf("  %-20s  %s\n", call, commands[i].help);
    }
    printf("\noptions:\n");
    ctl_options_describe(stdout);
    printf("\nDATA is sent as JSON if it is valid JSON, otherwise as text. @FILE sends a file's "
           "bytes, "
           "hex:00ff\n"
           "those bytes, and text:... a text that would be taken for one of these. Arguments after "
           "--\n"
           "are never options.\n"
           "\nexit status:\n");
    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
        printf("  %d  %s\n", exits[i].status, exits[i].help);
}

static enum ctl_exit refuse_ctl_usage(const char *what, const char *why)
{
    fprintf(stderr, "wspushctl: %s: %s\nTry 'wspushctl --help'.\n", what, why);
    return CTL_USAGE;
}

static const struct ctl_command *find_command_row(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Finds the address of the admin interface and its token: from the options, push.conf or the
 * defaults. Both are owned by the caller. Returns false after printing an error. */
static bool find_admin_access(const struct ctl_options *options, struct admin_access *access)
{
    *access = (struct admin_access){0};
    if (options->conf && !config_admin(options->conf, access, stderr))
        return false;
    if (!options->conf || options->admin) {
        free(access->address);
        access->address = strdup(options->admin ? options->admin : default_address);
    }
    if (!*access->address && !options->admin) {
        fprintf(stderr, "wspushctl: %s: the admin interface is disabled (admin)\n", options->conf);
        return false;
    }
    return ctl_token_find(options, &access->token);
}

static enum ctl_exit run_with_access(const struct ctl_command *command, struct ctl *ctl,
                                     const struct admin_access *access)
{
    const char *wrong = server_parse(&ctl->server, access->address);
    if (wrong)
        return refuse_ctl_usage(access->address, wrong);
    ctl->server.token = access->token;
    return command->run(ctl);
}

static enum ctl_exit run_found_command(const struct ctl_command *command, struct ctl *ctl)
{
    struct admin_access access;
    const bool found = find_admin_access(ctl->options, &access);
    const enum ctl_exit status = found ? run_with_access(command, ctl, &access) : CTL_USAGE;
    config_admin_free(&access);
    return fflush(stdout) == 0 || status != CTL_DONE ? status : CTL_UNREACHABLE;
}

int main(int argc, char **argv)
{
    struct ctl_options options = {0};
    struct ctl ctl = {.options = &options};

    signal(SIGPIPE, SIG_IGN);
    const int first = ctl_options_parse(&options, argc, argv);
    if (first < 0)
        return CTL_USAGE;
    if (options.help || options.version) {
        if (options.help)
            print_command_help();
        else
            puts("wspushctl " WSPUSHD_VERSION);
        return CTL_DONE;
    }
    if (first == argc)
        return refuse_ctl_usage("COMMAND", "missing");
    const struct ctl_command *command = find_command_row(argv[first]);
    if (!command)
        return refuse_ctl_usage(argv[first], "no such command");
    ctl.argument = argv + first + 1;
    ctl.arguments = argc - first - 1;
    if (ctl.arguments < command->least || ctl.arguments > command->most)
        return refuse_ctl_usage(command->name,
                                command->most == 0 ? "takes no argument" : command->arguments);
    if (options.restart && strcmp(command->name, "drain") != 0)
        return refuse_ctl_usage("--restart", "is an option of drain only");
    return (int)run_found_command(command, &ctl);
}
