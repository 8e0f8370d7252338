/*
 * The CPU time, memory and descriptors of the server's processes, from /proc (proc(5)). Any worker
 * can read all of them.
 */
#ifndef WSPUSHD_WORKER_PROCESSES_H
#define WSPUSHD_WORKER_PROCESSES_H

#include "worker/worker.h"

struct process_use {
    double cpu_seconds; /* user and system, since the process began */
    uint64_t bytes;     /* of memory that no other process shares: without files and the segment */
};

struct processes {
    struct process_use worker[WORKERS_MAX]; /* by slot; all 0 if no process runs it */
    uint64_t cpu_ticks;                     /* as cpu_seconds */
    double cpu_seconds; /* of the master, its workers, and those that have ended: only grows */
    uint64_t bytes;     /* resident: each process's own, the segment once, files once */
    uint64_t open_fds;  /* of the table that all processes share */
    uint64_t max_fds;   /* RLIMIT_NOFILE */
};

/* Fills in *out. A value that cannot be read is 0. */
void processes_read(const struct worker *worker, struct processes *out);

#endif
