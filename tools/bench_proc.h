/*
 * The resource usage of a server, read from /proc: of a process and all its descendants.
 */
#ifndef WSPUSHD_TOOLS_BENCH_PROC_H
#define WSPUSHD_TOOLS_BENCH_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TREE_MAX = 256 };

/* Processes and their descendants, the oldest first; the first `roots` are the processes
 * themselves. */
struct tree {
    size_t count, roots;
    pid_t pid[TREE_MAX];
    pid_t parent[TREE_MAX];
};

/* Finds the descendants; roots that are gone or 0 are left out. Takes milliseconds. */
void tree_find(struct tree *tree, const pid_t *root, size_t roots);

/* Returns the n-th child of the first root, modulo their number; 0 if it has none. */
pid_t tree_child(const struct tree *tree, size_t n);

/* Usage since the start of all living processes of a tree; that of dead ones as far as the roots
 * know it (of the children they have waited for), to 10 ms. All CPU times are read first, so that
 * they belong to the moment of the call. */
struct usage {
    uint64_t cpu;          /* ns */
    uint64_t user, system; /* ns, to 10 ms each: the parts of `cpu` */
    uint64_t switches;     /* voluntary context switches: how often a process went to sleep */
    uint64_t anonymous;    /* bytes of private memory; a page mapped by n processes counts as 1/n */
    uint64_t shared;       /* bytes of shared memory, likewise. File pages are in neither */
};
void usage_read(struct usage *usage, const struct tree *tree, bool memory);

/* The machine's total CPU time in ns, to 10 ms; bytes of the kernel's slabs and of TCP buffers. */
struct machine {
    uint64_t busy;
    uint64_t kernel;
};
void machine_read(struct machine *machine);

/* A running count of the system calls of all threads of a tree, including later ones. Uses
 * perf_event_open(2): requires the permission, and costs tens of nanoseconds per call. */
struct calls {
    size_t count;
    int fd[TREE_MAX * 4];
};
/* Returns NULL, or why the calls cannot be counted. */
const char *calls_open(struct calls *calls, const pid_t *root, size_t roots);
uint64_t calls_read(const struct calls *calls);
void calls_close(struct calls *calls);

#endif
