/*
 * Counts the system calls of a server with the kernel's tracepoint raw_syscalls:sys_enter, one
 * counter per thread, inherited by threads and children created later. Requires a mounted tracefs
 * and CAP_PERFMON (or root); otherwise it reports that, and estimates nothing.
 */
#include "tools/bench_proc.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned long long read_tracepoint_id(void)
{
    static const char *const paths[] = {
        "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
        "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
    };
    unsigned long long id = 0;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && id == 0; i++) {
        FILE *file = fopen(paths[i], "re");
        if (file == NULL)
            continue;
        char text[32];
        if (fgets(text, sizeof(text), file) != NULL)
            id = strtoull(text, NULL, 10);
        fclose(file);
    }
    return id;
}

static int count_thread_calls(unsigned long long id, pid_t thread)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = id, .inherit = 1};
    return (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static const char *count_process_calls(struct calls *calls, unsigned long long id, pid_t pid)
{
    char path[64];
    const char *wrong = NULL;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return NULL; /* the process has ended */
    for (struct dirent *entry; wrong == NULL && (entry = readdir(tasks)) != NULL;) {
        const pid_t thread = (pid_t)atoi(entry->d_name);
        if (thread <= 0)
            continue;
        const int fd = calls->count < sizeof(calls->fd) / sizeof(calls->fd[0])
                           ? count_thread_calls(id, thread)
                           : (errno = EMFILE, -1);
        if (fd != -1)
            calls->fd[calls->count++] = fd;
        else if (errno != ESRCH)
            wrong = strerror(errno);
    }
    closedir(tasks);
    return wrong;
}

const char *calls_open(struct calls *calls, const pid_t *root, size_t roots)
{
    static struct tree tree;
    const unsigned long long id = read_tracepoint_id();
    const char *wrong = NULL;

    calls->count = 0;
    if (id == 0)
        return "tracefs is not mounted or not readable";
    tree_find(&tree, root, roots);
    for (size_t i = 0; i < tree.count && wrong == NULL; i++)
        wrong = count_process_calls(calls, id, tree.pid[i]);
    if (wrong != NULL)
        calls_close(calls);
    return wrong;
}

uint64_t calls_read(const struct calls *calls)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < calls->count; i++) {
        uint64_t count;
        if (read(calls->fd[i], &count, sizeof(count)) == sizeof(count))
            sum += count;
    }
    return sum;
}

void calls_close(struct calls *calls)
{
    for (size_t i = 0; i < calls->count; i++)
        close(calls->fd[i]);
    calls->count = 0;
}
