/*
 * The master process: creates the shared-memory segment and the sockets, forks the workers, watches
 * and replaces them. It parses no input from outside and edits no shared table, so that it has as
 * few reasons to crash as possible.
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

/* The master's own state of a slot and its worker; written by supervise.c. */
struct charge {
    struct base base;      /* the slot's event base, created before any worker exists */
    struct event *respawn; /* fires when the back-off is over */
    pid_t pid;             /* 0: not running */
    bool left;             /* not running, and must not be started: move.c */
    bool hung;             /* the watchdog has sent it SIGABRT */
    uint64_t started_ms;   /* CLOCK_MONOTONIC */
    uint64_t turns;        /* the slot's count of loop turns when it was started */
    uint32_t reload;      /* master.reloads when it was started: tells which configuration it has */
    struct deaths deaths; /* of the slot's workers, in a row */
};

/* The command line of the server, which reloads and upgrades use again. */
enum { OVERRIDES_MAX = 64 };
struct invocation {
    char **argv;
    char *binary;     /* absolute path of the executable, resolved at the start */
    const char *file; /* path of push.conf */
    struct config_override override[OVERRIDES_MAX];
    size_t overrides;
};

struct master {
    const struct invocation *invocation;
    struct config *config;
    struct segment segment;
    struct event_base *base;
    uint32_t slots;   /* number of slots; each has its descriptors from the start */
    uint32_t workers; /* number of workers, in slots 0 to workers - 1; move.c changes it */
    struct charge charge[WORKERS_MAX];
    struct listeners listeners; /* of `config` */
    int self_fd;                /* pidfd of the master, which workers watch */
    int signal_fd;
    struct event *tick;
    uint64_t looked_ms; /* CLOCK_MONOTONIC: the last tick; supervise.c */
    uint64_t awake_ms;  /* the same: end of the last pause (common/pause.h); supervise.c */
    struct event *reap; /* fires when dead workers should be reaped; supervise.c */
    bool stopping;
    uint32_t reloads; /* number of reloads so far; reload.c */
    bool upgrading;   /* workers leave and are not replaced; upgrade.c */
    bool replacing;   /* after the stop the new binary starts from scratch; upgrade.c */
    pid_t trial;      /* the child that tries the new binary; 0: none */
    uint64_t stop_ms; /* CLOCK_MONOTONIC at the beginning of the stop, plus later pauses */
    int status;       /* exit status */
};

/* Returns the number of workers that the configuration asks for. */
uint32_t master_workers(const struct config *config);

/* Raises the soft limit on open files to the hard limit, and returns the budget of descriptors. */
struct budget master_budget(const struct config *config);

/* Runs the server until it is stopped. Takes `config`. Returns the process's exit status: 0, 2 for
 * a system error, or EXIT_AGAIN (stop.h). */
int master_run(struct config *config, const struct invocation *invocation);

#endif
