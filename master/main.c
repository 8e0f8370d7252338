/*
 * wspushd: the command line. Reads push.conf and either checks it, or runs the master.
 */
#include "common/config.h"
#include "common/log.h"
#include "common/version.h"
#include "master/master.h"
#include "master/rollback.h"
#include "master/upgrade.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_CONFIG = 1, EXIT_SYSTEM = 2 };

static const char usage[] =
    "usage: wspushd [-c FILE] [-o KEY=VALUE]... [-t]\n"
    "\n"
    "  -c FILE       read the configuration from FILE (default: push.conf)\n"
    "  -o KEY=VALUE  override a key of the configuration; separate a list's items by commas\n"
    "  -t            check the configuration, print all errors, and exit\n"
    "  -k            print every key with its default, bounds and meaning\n"
    "  -V, --version print the version\n"
    "  -h, --help    print this help\n"
    "\n"
    "signals: TERM, INT drain and stop; QUIT drain and stop for a restart; HUP reload push.conf;\n"
    "         USR1 reopen the log; USR2 replace the binary without closing a connection\n"
    "exit status: 0 after a clean stop, 1 for a bad configuration, 2 for a system error,\n"
    "         3 after a clean stop by QUIT\n";

struct options {
    struct invocation invocation;
    bool check;
};

/* Parses the command line. Returns -1 to continue, or the exit status. */
static int parse_command_line(int argc, char **argv, struct options *options)
{
    struct invocation *invocation = &options->invocation;
    static const struct option words[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
    int option;
    while ((option = getopt_long(argc, argv, "c:o:tkVh", words, NULL)) != -1) {
        switch (option) {
        case 'c':
            invocation->file = optarg;
            break;
        case 'o':
            if (invocation->overrides == OVERRIDES_MAX) {
                fprintf(stderr, "wspushd: more than %d overrides\n", OVERRIDES_MAX);
                return EXIT_CONFIG;
            }
            invocation->override[invocation->overrides++].text = optarg;
            break;
        case 't':
            options->check = true;
            break;
        case 'k':
            config_describe(stdout);
            return EXIT_SUCCESS;
        case 'V':
            printf("wspushd %s (build %s)\n", WSPUSHD_VERSION, version_build());
            return EXIT_SUCCESS;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EXIT_CONFIG;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "wspushd: unexpected argument: %s\n%s", argv[optind], usage);
        return EXIT_CONFIG;
    }
    return -1;
}

/* Closes descriptors that the parent process left open, which would look like leaks
 * (worker/audit.c). Those that systemd passes have the numbers 3 and up (sd_listen_fds(3)). */
static void close_inherited_descriptors(void)
{
    const char *passed = getenv("LISTEN_FDS");
    const unsigned first = 3 + (passed ? (unsigned)strtoul(passed, NULL, 10) : 0);
    close_range(first, ~0U, 0);
}

/* Warns if this process's limit on open files allows fewer clients than max_connections. */
static void print_limit_warning(const struct config *config, const char *file)
{
    const struct budget budget = master_budget(config);
    if (budget.clients < config->max_connections)
        fprintf(stderr,
                "%s: max_connections = %u: the limit on open files is %u here, which leaves room "
                "for %u clients; the others get 503. Raise it (ulimit -Hn, LimitNOFILE=) or lower "
                "max_connections\n",
                file, config->max_connections, budget.limit, budget.clients);
}

/* With -t: says what is dangerous, and in an upgrade's trial whether this binary can take over.
 * Returns the exit status. */
static int check_only(const struct config *config, const char *file)
{
    const int unfit = upgrade_check(config);
    if (unfit)
        return unfit;
    config_warn(config, file, stderr);
    print_limit_warning(config, file);
    printf("%s: ok\n", file);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (!upgrade_inherits())
        close_inherited_descriptors();
    rollback_begin(argv);
    static struct options options = {.invocation.file = "push.conf"};
    const struct invocation *invocation = &options.invocation;
    options.invocation.argv = argv;
    options.invocation.binary = rollback_binary();
    const int done = parse_command_line(argc, argv, &options);
    if (done >= 0)
        return done;
    const char *kept = rollback_config();
    struct config *config = config_load_copy(invocation->file, kept ? kept : invocation->file,
                                             invocation->override, invocation->overrides, stderr);
    if (!config)
        return EXIT_CONFIG;
    if (options.check) {
        const int status = check_only(config, invocation->file);
        config_free(config);
        return status;
    }
    log_set_source("master");
    if (log_open(config->log, (enum log_level)config->log_level) == -1) {
        fprintf(stderr, "wspushd: %s: %s\n", config->log, strerror(errno));
        return EXIT_SYSTEM;
    }
    return master_run(config, invocation);
}
