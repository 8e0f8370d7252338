/*
 * See processes.h. Two small files are read for each process, so it takes some microseconds a
 * worker.
 *
 * The CPU time of a worker that has ended is with its master, in cutime and cstime, as soon as it
 * is reaped. If that happens while the others are read, its time would be in both or in neither:
 * then all is read again. And the kernel rounds each process by itself, so that a sum may fall by a
 * tick or two when one is reaped. Prometheus takes any fall of a counter for a restart of the
 * server, so each worker notes the most that it has shown, and nobody shows less than any of them.
 *
 * The pages of the segment are in the resident sets of all processes, but exist once. So they are
 * taken from the segment's file, and of each process only what is its own.
 */
#include "worker/processes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 3, BLOCK = 512 /* bytes of st_blocks: stat(2) */ };

/* Reads a file of a process into `text`, terminated; "" if it cannot be read. */
static void read_file(char *text, size_t size, int pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t len = fd == -1 ? 0 : read(fd, text, size - 1);
    text[len > 0 ? len : 0] = '\0';
    if (fd != -1)
        close(fd);
}

/* CPU time in clock ticks: of the process, and of its children that were reaped. */
struct cpu_ticks {
    unsigned long long own, reaped;
};

/* Fields 14 to 17 of proc_pid_stat(5). Field 2 is a name in parentheses, which may hold anything.
 */
static struct cpu_ticks read_ticks(int pid)
{
    char text[1024];
    unsigned long long user = 0, system = 0, reaped_user = 0, reaped_system = 0;
    read_file(text, sizeof(text), pid, "stat");
    const char *behind = strrchr(text, ')');
    if (behind)
        sscanf(behind + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %llu %llu", &user,
               &system, &reaped_user, &reaped_system);
    return (struct cpu_ticks){user + system, reaped_user + reaped_system};
}

/* Resident pages without those of files and shared memory: fields 2 and 3 of proc_pid_statm(5). */
static uint64_t read_own_bytes(int pid)
{
    char text[128];
    unsigned long long resident = 0, shared = 0;
    read_file(text, sizeof(text), pid, "statm");
    sscanf(text, "%*u %llu %llu", &resident, &shared);
    return resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Resident pages of files, which are the same program and libraries in all processes. */
static uint64_t read_file_bytes(int pid)
{
    char text[4096];
    read_file(text, sizeof(text), pid, "status");
    const char *line = strstr(text, "\nRssFile:");
    return line ? strtoull(line + sizeof("\nRssFile:") - 1, NULL, 10) * 1024 : 0;
}

static int slot_pid(const struct worker *worker, uint32_t i)
{
    return atomic_load_explicit(&worker->segment->slot[i].pid, memory_order_relaxed);
}

/* The ticks, or the most that any worker has shown so far. */
static uint64_t never_less(const struct worker *worker, uint64_t ticks)
{
    for (uint32_t i = 0; i < worker_slots_run(worker); i++) {
        const uint64_t shown =
            atomic_load_explicit(&worker->segment->stats[i].cpu_shown, memory_order_relaxed);
        ticks = shown > ticks ? shown : ticks;
    }
    return ticks;
}

/* One pass over all processes. Returns the ticks of the master's children that were reaped. */
static unsigned long long read_cpu(const struct worker *worker, int master, struct processes *out)
{
    const double second = (double)sysconf(_SC_CLK_TCK);
    const struct cpu_ticks all = read_ticks(master);
    unsigned long long sum = all.own + all.reaped;
    for (uint32_t i = 0; i < worker_slots_run(worker); i++) {
        const int pid = slot_pid(worker, i);
        const unsigned long long own = pid > 0 ? read_ticks(pid).own : 0;
        out->worker[i].cpu_seconds = (double)own / second;
        sum += own;
    }
    out->cpu_ticks = never_less(worker, sum);
    out->cpu_seconds = (double)out->cpu_ticks / second;
    return all.reaped;
}

static void read_memory(const struct worker *worker, int master, struct processes *out)
{
    struct stat segment;
    out->bytes = read_own_bytes(master) + read_file_bytes(getpid());
    for (uint32_t i = 0; i < worker_slots_run(worker); i++) {
        const int pid = slot_pid(worker, i);
        out->worker[i].bytes = pid > 0 ? read_own_bytes(pid) : 0;
        out->bytes += out->worker[i].bytes;
    }
    if (fstat(worker->segment->fd, &segment) == 0)
        out->bytes += (uint64_t)segment.st_blocks * BLOCK;
}

/* Descriptors that the server itself knows of. */
static uint64_t known_fds(const struct worker *worker)
{
    uint64_t count = worker->segment->header->own_fds;
    for (uint32_t i = 0; i < worker_slots_run(worker); i++) {
        const struct slot *slot = &worker->segment->slot[i];
        count += atomic_load_explicit(&slot->connections, memory_order_relaxed);
        count += atomic_load_explicit(&slot->link.fd, memory_order_relaxed) > 0;
        for (size_t k = 0; k < SLOT_AUX_MAX; k++)
            count += atomic_load_explicit(&slot->aux[k].fd, memory_order_relaxed) > 0;
    }
    return count;
}

/* Since Linux 6.2 the size of this directory is the number of open descriptors. To list it would
 * take a millisecond for every thousand. */
static uint64_t count_fds(const struct worker *worker)
{
    struct stat directory;
    if (stat("/proc/self/fd", &directory) == 0 && directory.st_size > 0)
        return (uint64_t)directory.st_size;
    return known_fds(worker);
}

void processes_read(const struct worker *worker, struct processes *out)
{
    const int master = worker->orphaned ? 0 : getppid(); /* there is no /proc/0 */
    struct rlimit limit = {0};
    memset(out, 0, sizeof(*out));
    for (int tries = 0; tries < TRIES; tries++)
        if (read_cpu(worker, master, out) == read_ticks(master).reaped)
            break;
    atomic_store_explicit(&worker->stats->cpu_shown, out->cpu_ticks, memory_order_relaxed);
    read_memory(worker, master, out);
    getrlimit(RLIMIT_NOFILE, &limit);
    out->open_fds = count_fds(worker);
    out->max_fds = limit.rlim_cur;
}
