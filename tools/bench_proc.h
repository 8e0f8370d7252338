/*
 * What a server uses, seen from outside in /proc: of a process and all its descendants.
 */
#ifndef WSPUSHD_TOOLS_BENCH_PROC_H
#define WSPUSHD_TOOLS_BENCH_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TREE_MAX = 256 };

/* Processes and their descendants, the eldest first; the first `roots` are the processes. */
struct tree {
    size_t count, roots;
    pid_t pid[TREE_MAX];
    pid_t parent[TREE_MAX];
};

/* Finds them; those that are gone, or are 0, are left out. It takes milliseconds. */
void tree_find(struct tree *tree, const pid_t *root, size_t roots);

/* The n-th of the first root's children, counted around; 0 where it has none. */
pid_t tree_child(const struct tree *tree, size_t n);

/* All since their beginning, of all processes of a tree that live; of those that have died, what
 * the roots have been told of (their children whom they have waited for), to 10 ms. The CPU time of
 * all is read first, so that it is of the moment of the call. */
struct usage {
    uint64_t cpu;          /* ns */
    uint64_t user, system; /* ns, to 10 ms each: how `cpu` is parted */
    uint64_t switches;     /* voluntary context switches: how often a process went to sleep */
    uint64_t anonymous;    /* bytes of memory of its own, a page that n processes map as 1/n */
    uint64_t shared;       /* bytes of shared memory, likewise. Pages of files are in neither */
};
void usage_read(struct usage *usage, const struct tree *tree, bool memory);

/* CPU time that was spent on the machine, by anybody, in ns to 10 ms; bytes of the kernel's slabs
 * and of TCP's buffers. */
struct machine {
    uint64_t busy;
    uint64_t kernel;
};
void machine_read(struct machine *machine);

/* A running count of the system calls of all threads of a tree, and of those that they make later.
 * perf_event_open(2): needs the right to it, and costs each call some tens of nanoseconds. */
struct calls {
    size_t count;
    int fd[TREE_MAX * 4];
};
/* NULL, or why it cannot be had. */
const char *calls_open(struct calls *calls, const pid_t *root, size_t roots);
uint64_t calls_read(const struct calls *calls);
void calls_close(struct calls *calls);

#endif
