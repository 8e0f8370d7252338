/*
 * See processes.h. Two small files are read for each process, which takes some microseconds for
 * each worker.
 *
 * As soon as a worker is reaped, its CPU time is in its master's cutime and cstime. If that happens
 * during the reading, its time would be counted twice or not at all, so everything is read again.
 * Besides, the kernel rounds each process separately, so the sum can drop by a tick or two when one
 * is reaped. Prometheus takes any decrease of a counter for a restart of the server, so each worker
 * notes the highest value that it has shown, and no worker shows less than any of these.
 *
 * The pages of the segment are in the resident sets of all processes, but exist once. So they are
 * counted by the segment's file, and for each process only its private memory.
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
static void read_process_file(char *text, size_t size, int pid, const char *name)
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

/* Reads fields 14 to 17 of proc_pid_stat(5). Field 2, a name in parentheses, may hold any byte. */
static struct cpu_ticks read_cpu_ticks(int pid)
{
    char text[1024];
    unsigned long long user = 0, system = 0, reaped_user = 0, reaped_system = 0;
    read_process_file(text, sizeof(text), pid, "stat");
    const char *behind = strrchr(text, ')');
    if (behind)
        sscanf(behind + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %llu %llu", &user,
               &system, &reaped_user, &reaped_system);
    return (struct cpu_ticks){user + system, reaped_user + reaped_system};
}

/* Returns the resident bytes without files and shared memory: fields 2 and 3 of
 * proc_pid_statm(5). */
static uint64_t read_private_bytes(int pid)
{
    char text[128];
    unsigned long long resident = 0, shared = 0;
    read_process_file(text, sizeof(text), pid, "statm");
    sscanf(text, "%*u %llu %llu", &resident, &shared);
    return resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Returns the resident bytes of files: the program and libraries, which all processes share. */
static uint64_t read_mapped_file_bytes(int pid)
{
    char text[4096];
    read_process_file(text, sizeof(text), pid, "status");
    const char *line = strstr(text, "\nRssFile:");
    return line ? strtoull(line + sizeof("\nRssFile:") - 1, NULL, 10) * 1024 : 0;
}

static int slot_process_id(const struct worker *worker, uint32_t i)
{
    return atomic_load_explicit(&worker->segment->slot[i].pid, memory_order_relaxed);
}

/* Returns `ticks`, or the most that any worker has shown so far. */
static uint64_t never_less_than_shown(const struct worker *worker, uint64_t ticks)
{
    for (uint32_t i = 0; i < worker_slots_run(worker); i++) {
        const uint64_t shown =
            atomic_load_explicit(&worker->segment->stats[i].cpu_shown, memory_order_relaxed);
        ticks = shown > ticks ? shown : ticks;
    }
    return ticks;
}

/* Reads the CPU time of all processes once. Returns the ticks of the master's reaped children. */
static unsigned long long read_all_cpu_times(const struct worker *worker, int master,
                                             struct processes *out)
{
    const double second = (double)sysconf(_SC_CLK_TCK);
    const struct cpu_ticks all = read_cpu_ticks(master);
    unsigned long long sum = all.own + all.reaped;
    for (uint32_t i = 0; i < worker_slots_run(worker); i++) {
        const int pid = slot_process_id(worker, i);
        const unsigned long long own = pid > 0 ? read_cpu_ticks(pid).own : 0;
        out->worker[i].cpu_seconds = (double)own / second;
        sum += own;
    }
    out->cpu_ticks = never_less_than_shown(worker, sum);
    out->cpu_seconds = (double)out->cpu_ticks / second;
    return all.reaped;
}

static void read_all_memory(const struct worker *worker, int master, struct processes *out)
{
    struct stat segment;
    out->bytes = read_private_bytes(master) + read_mapped_file_bytes(getpid());
    for (uint32_t i = 0; i < worker_slots_run(worker); i++) {
        const int pid = slot_process_id(worker, i);
        out->worker[i].bytes = pid > 0 ? read_private_bytes(pid) : 0;
        out->bytes += out->worker[i].bytes;
    }
    if (fstat(worker->segment->fd, &segment) == 0)
        out->bytes += (uint64_t)segment.st_blocks * BLOCK;
}

/* Returns the number of descriptors that the server itself has noted. */
static uint64_t count_noted_fds(const struct worker *worker)
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

/* Returns the number of open descriptors. Since Linux 6.2 it is the size of this directory; listing
 * the directory would take a millisecond for every thousand. */
static uint64_t count_open_fds(const struct worker *worker)
{
    struct stat directory;
    if (stat("/proc/self/fd", &directory) == 0 && directory.st_size > 0)
        return (uint64_t)directory.st_size;
    return count_noted_fds(worker);
}

void processes_read(const struct worker *worker, struct processes *out)
{
    const int master = worker->orphaned ? 0 : getppid(); /* /proc/0 does not exist */
    struct rlimit limit = {0};
    memset(out, 0, sizeof(*out));
    for (int tries = 0; tries < TRIES; tries++)
        if (read_all_cpu_times(worker, master, out) == read_cpu_ticks(master).reaped)
            break;
    atomic_store_explicit(&worker->stats->cpu_shown, out->cpu_ticks, memory_order_relaxed);
    read_all_memory(worker, master, out);
    getrlimit(RLIMIT_NOFILE, &limit);
    out->open_fds = count_open_fds(worker);
    out->max_fds = limit.rlim_cur;
}
