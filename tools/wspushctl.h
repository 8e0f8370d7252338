/*
 * wspushctl: what its files share. A command asks the admin interface of one server, prints what
 * came of it, and returns the exit status.
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_H
#define WSPUSHD_TOOLS_WSPUSHCTL_H

#include "tools/wspushctl_http.h"
#include "tools/wspushctl_options.h"

/* X(NAME, status, what it says) */
#define CTL_EXITS(X)                                                                        \
    X(DONE, 0, "done")                                                                      \
    X(USAGE, 1, "wrong usage")                                                              \
    X(UNREACHABLE, 2, "the server does not answer, or not in time")                         \
    X(REFUSED, 3, "the server refuses, or it has failed, and why; status: it is not ready") \
    X(OFFLINE, 4, "push: the user is offline; who: he has no connection on this node")
enum ctl_exit {
#define CTL_EXIT_ENUM(name, status, help) CTL_##name = (status),
    CTL_EXITS(CTL_EXIT_ENUM)
#undef CTL_EXIT_ENUM
};

struct ctl {
    const struct ctl_options *options;
    struct server server;
    char **argument; /* behind the command */
    int arguments;
};

/* X(name, fewest arguments, most, what they are, help) */
#define CTL_COMMANDS(X)                                                                \
    X(status, 0, 0, "", "how the node fares: readiness, connections, books, workers")  \
    X(top, 0, 0, "", "the same with rates, again and again until Ctrl-C")              \
    X(who, 1, 1, "USER", "the user's connections on this node")                        \
    X(push, 2, 3, "USER OP [DATA]", "push to the user, and tell whether he is online") \
    X(kick, 1, 1, "USER", "close every connection of the user, on every node")         \
    X(reload, 0, 0, "", "read push.conf again, and wait for the outcome")              \
    X(upgrade, 0, 0, "", "replace the binary, and wait for the outcome")               \
    X(drain, 0, 0, "[--restart]", "stop for good, or to be started again; waits for the end")
#define CTL_COMMAND_PROTOTYPE(name, least, most, arguments, help) \
    enum ctl_exit ctl_##name(const struct ctl *ctl);
CTL_COMMANDS(CTL_COMMAND_PROTOTYPE)
#undef CTL_COMMAND_PROTOTYPE

#endif
