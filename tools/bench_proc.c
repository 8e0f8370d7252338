/*
 * Reads /proc. CPU time is read from the process's CPU clock (clock_getcpuclockid(3)), which counts
 * nanoseconds of all its threads, including those that have ended; the ticks of /proc/PID/stat only
 * give the ratio of user and system time. A process that ends while it is read counts as far as it
 * was read.
 */
#include "tools/bench_proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench_clock.h"

/* Reads a file of /proc, cut at the size of the buffer. Returns false if it cannot be read. */
static bool read_proc_file(char *text, size_t size, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const size_t len = fread(text, 1, size - 1, file);
    fclose(file);
    text[len] = '\0';
    return len > 0;
}

/* Returns the number after `name` in lines of the form "name   number". */
static uint64_t find_named_number(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

/* Reads the fields of /proc/PID/stat from the third on: after the name, which may contain anything.
 */
static bool read_stat_fields(pid_t pid, unsigned long long field[static 53])
{
    char path[64], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (!read_proc_file(text, sizeof(text), path))
        return false;
    char *at = strrchr(text, ')');
    if (at == NULL || strlen(at) < 4)
        return false;
    at += 4; /* ") S " */
    for (unsigned i = 4; i < 53; i++)
        field[i] = strtoull(at, &at, 10);
    return true;
}

/* Numbers of the fields, proc(5). */
enum { STAT_PPID = 4, STAT_UTIME = 14, STAT_STIME = 15, STAT_CUTIME = 16, STAT_CSTIME = 17 };

static int compare_by_age(const void *a, const void *b)
{
    const pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;
    return left < right ? -1 : left > right;
}

/* Lists all processes as pairs of (pid, parent), sorted by pid. */
static size_t list_all_processes(pid_t (*list)[2], size_t most)
{
    unsigned long long field[53];
    size_t count = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL && count < most;) {
        const pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid <= 0 || !read_stat_fields(pid, field))
            continue;
        list[count][0] = pid;
        list[count++][1] = (pid_t)field[STAT_PPID];
    }
    closedir(proc);
    qsort(list, count, sizeof(*list), compare_by_age);
    return count;
}

static bool is_in_tree(const struct tree *tree, pid_t pid)
{
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->pid[i] == pid)
            return true;
    }
    return false;
}

static void add_tree_process(struct tree *tree, const pid_t process[2])
{
    tree->pid[tree->count] = process[0];
    tree->parent[tree->count++] = process[1];
}

void tree_find(struct tree *tree, const pid_t *root, size_t roots)
{
    static pid_t list[32768][2];
    const size_t processes = list_all_processes(list, sizeof(list) / sizeof(list[0]));
    bool more = true;

    tree->count = 0;
    for (size_t n = 0; n < roots; n++) {
        for (size_t i = 0; i < processes; i++) {
            if (list[i][0] == root[n] && !is_in_tree(tree, root[n]))
                add_tree_process(tree, list[i]);
        }
    }
    tree->roots = tree->count;
    /* Until no more are found: a child may have a lower pid than its parent. */
    while (more && tree->count > 0) {
        more = false;
        for (size_t i = 0; i < processes && tree->count < TREE_MAX; i++) {
            if (is_in_tree(tree, list[i][0]) || !is_in_tree(tree, list[i][1]))
                continue;
            add_tree_process(tree, list[i]);
            more = true;
        }
    }
}

pid_t tree_child(const struct tree *tree, size_t n)
{
    size_t children = 0;

    for (size_t i = 1; i < tree->count; i++)
        children += tree->parent[i] == tree->pid[0];
    if (children == 0)
        return 0;
    n %= children;
    for (size_t i = 1; i < tree->count; i++) {
        if (tree->parent[i] == tree->pid[0] && n-- == 0)
            return tree->pid[i];
    }
    return 0;
}

static uint64_t read_cpu_time(pid_t pid)
{
    clockid_t id;
    struct timespec spent;

    if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &spent) == -1)
        return 0;
    return (uint64_t)spent.tv_sec * BENCH_S + (uint64_t)spent.tv_nsec;
}

static void add_process_memory(struct usage *usage, pid_t pid)
{
    char path[64], text[4096];

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    if (!read_proc_file(text, sizeof(text), path))
        return;
    usage->anonymous += find_named_number(text, "Pss_Anon:") * 1024;
    usage->shared += find_named_number(text, "Pss_Shmem:") * 1024;
}

/* Adds the context switches of all threads. */
static void add_context_switches(struct usage *usage, pid_t pid)
{
    char path[320], text[4096];

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, entry->d_name);
        if (entry->d_name[0] != '.' && read_proc_file(text, sizeof(text), path))
            usage->switches += find_named_number(text, "\nvoluntary_ctxt_switches:");
    }
    closedir(tasks);
}

static void add_process_usage(struct usage *usage, pid_t pid, bool is_root, bool memory)
{
    const uint64_t tick = BENCH_S / (uint64_t)sysconf(_SC_CLK_TCK);
    unsigned long long field[53];

    if (!read_stat_fields(pid, field))
        return;
    usage->user += field[STAT_UTIME] * tick;
    usage->system += field[STAT_STIME] * tick;
    if (is_root) {
        usage->cpu += (field[STAT_CUTIME] + field[STAT_CSTIME]) * tick;
        usage->user += field[STAT_CUTIME] * tick;
        usage->system += field[STAT_CSTIME] * tick;
    }
    add_context_switches(usage, pid);
    if (memory)
        add_process_memory(usage, pid);
}

void usage_read(struct usage *usage, const struct tree *tree, bool memory)
{
    *usage = (struct usage){0};
    for (size_t i = 0; i < tree->count; i++)
        usage->cpu += read_cpu_time(tree->pid[i]);
    for (size_t i = 0; i < tree->count; i++)
        add_process_usage(usage, tree->pid[i], i < tree->roots, memory);
}

void machine_read(struct machine *machine)
{
    const uint64_t tick = BENCH_S / (uint64_t)sysconf(_SC_CLK_TCK);
    unsigned long long user = 0, nice = 0, system = 0, irq = 0, softirq = 0;
    char text[8192];

    *machine = (struct machine){0};
    if (read_proc_file(text, sizeof(text), "/proc/stat") &&
        sscanf(text, "cpu %llu %llu %llu %*u %*u %llu %llu", &user, &nice, &system, &irq,
               &softirq) == 5)
        machine->busy = (user + nice + system + irq + softirq) * tick;
    if (read_proc_file(text, sizeof(text), "/proc/meminfo"))
        machine->kernel = find_named_number(text, "\nSlab:") * 1024;
    if (read_proc_file(text, sizeof(text), "/proc/net/sockstat")) {
        const char *tcp = strstr(text, "\nTCP:");
        if (tcp != NULL) /* "mem" counts pages */
            machine->kernel += find_named_number(tcp, " mem ") * (uint64_t)sysconf(_SC_PAGESIZE);
    }
}
