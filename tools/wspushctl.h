/*
 * wspushctl: the declarations that its files share. A command sends a request to the admin
 * interface of one server, prints the result and returns the exit status.
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_H
#define WSPUSHD_TOOLS_WSPUSHCTL_H

#include "tools/wspushctl_http.h"
#include "tools/wspushctl_options.h"

/* X(NAME, status, description) */
#define CTL_EXITS(X)                                                                           \
    X(DONE, 0, "done")                                                                         \
    X(USAGE, 1, "wrong usage")                                                                 \
    X(UNREACHABLE, 2, "the server did not answer in time, or not at all")                      \
    X(REFUSED, 3, "the server refused, or the change failed; status: the server is not ready") \
    X(OFFLINE, 4, "push: the user is offline; who: the user has no connection on this node")
enum ctl_exit {
#define CTL_EXIT_ENUM(name, status, help) CTL_##name = (status),
    CTL_EXITS(CTL_EXIT_ENUM)
#undef CTL_EXIT_ENUM
};

struct ctl {
    const struct ctl_options *options;
    struct server server;
    char **argument; /* the arguments after the command */
    int arguments;
};

/* X(name, fewest arguments, most arguments, their names, help) */
#define CTL_COMMANDS(X)                                                                     \
    X(status, 0, 0, "", "show the node's state: readiness, connections, counters, workers") \
    X(top, 0, 0, "", "show the same with rates, refreshed until Ctrl-C")                    \
    X(who, 1, 1, "USER", "list the user's connections on this node")                        \
    X(push, 2, 3, "USER OP [DATA]", "push to the user, and report whether they are online") \
    X(kick, 1, 1, "USER", "close every connection of the user, on every node")              \
    X(reload, 0, 0, "", "reload push.conf, and wait for the outcome")                       \
    X(upgrade, 0, 0, "", "replace the binary, and wait for the outcome")                    \
    X(drain, 0, 0, "[--restart]", "stop the server, and wait until it has stopped")
#define CTL_COMMAND_PROTOTYPE(name, least, most, arguments, help) \
    enum ctl_exit ctl_##name(const struct ctl *ctl);
CTL_COMMANDS(CTL_COMMAND_PROTOTYPE)
#undef CTL_COMMAND_PROTOTYPE

#endif
