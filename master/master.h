/*
 * The master: makes the segment and the sockets, forks the workers, watches and replaces them. It
 * parses no byte from outside and edits no table: the less it does, the less it can die of.
 */
#ifndef WSPUSHD_MASTER_MASTER_H
#define WSPUSHD_MASTER_MASTER_H

#include "common/budget.h"
#include "common/config.h"
#include "master/base.h"
#include "master/deaths.h"
#include "master/listen.h"
#include "shm/segment.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the master knows of a worker; supervise.c. */
struct charge {
    struct base base;      /* the slot's, made before any worker exists; its descriptors stay */
    struct event *respawn; /* fires when the back-off is over */
    pid_t pid;             /* 0: not running */
    bool left;             /* not running, and not to be: move.c */
    bool hung;             /* the watchdog has told it to end */
    uint64_t started_ms;
    uint64_t turns;       /* of the slot's loops before it was started */
    uint32_t reload;      /* of which it has the configuration: master.reloads as of its start */
    struct deaths deaths; /* in a row */
};

/* How the server was called: a reload and an upgrade call it so again. */
enum { OVERRIDES_MAX = 64 };
struct invocation {
    char **argv;
    char *binary; /* the file that argv[0] was, resolved at the start */
    const char *file;
    struct config_override override[OVERRIDES_MAX];
    size_t overrides;
};

struct master {
    const struct invocation *invocation;
    struct config *config;
    struct segment segment;
    struct event_base *base;
    uint32_t slots;   /* that there are; each has its descriptors from the start */
    uint32_t workers; /* that share the work: slots 0 to workers - 1; move.c changes it */
    struct charge charge[WORKERS_MAX];
    struct listeners listeners; /* of `config` */
    int self_fd;                /* pidfd of the master, for the workers to watch */
    int signal_fd;
    struct event *tick;
    uint64_t looked_ms; /* monotonic: the last tick; supervise.c */
    uint64_t awake_ms;  /* monotonic: end of the last pause (common/pause.h); supervise.c */
    struct event *reap; /* fires when the dead are to be reaped: supervise.c */
    bool stopping;
    uint32_t reloads; /* so far: reload.c */
    bool upgrading;   /* workers leave, and are not replaced: upgrade.c */
    bool replacing;   /* when it has stopped, another binary begins anew: upgrade.c */
    pid_t trial;      /* the child that tries the new binary; 0: none */
    uint64_t stop_ms; /* when stopping began */
    int status;       /* exit status */
};

/* As many workers as the configuration wants. */
uint32_t master_workers(const struct config *config);

/* Returns how the descriptors are shared out that the hard limit on open files allows, which is the
 * soft limit from here on. */
struct budget master_budget(const struct config *config);

/* Serves until told to stop. Takes `config`. Returns the process's exit status: 0, or 2 for a
 * system failure. */
int master_run(struct config *config, const struct invocation *invocation);

#endif
