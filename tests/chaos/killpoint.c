/*
 * The function that KILLPOINT() calls in `make killpoints`. The test and all processes of the
 * server share a file, named by WSPUSHD_KILLPOINTS, which each process maps when it first passes a
 * point:
 *
 *   | passes u32 | left u32 |  of the first point, then of the second, ...
 *
 * Every pass is counted. If the test stores n in `left`, the n-th pass from then on kills the
 * worker. Just before, the worker stores 0, which disarms the point, so that its successor lives.
 * If the test stores STOP, the first worker that passes stops (SIGSTOP) until the test lets it
 * continue.
 *
 * The signal is sent by raw system calls: glibc may have cached another process's id, because the
 * worker was made by a raw clone(2).
 */
#include "common/killpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct point {
    _Atomic uint32_t passes;
    _Atomic uint32_t left; /* 0: not armed */
};

enum { STOP = INT32_MAX };

static struct point *map_kill_points(void)
{
    static struct point nobody_looks[KILLPOINT_COUNT];
    const char *path = getenv("WSPUSHD_KILLPOINTS");
    const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd == -1 ? MAP_FAILED
                        : mmap(NULL, KILLPOINT_COUNT * sizeof(struct point), PROT_READ | PROT_WRITE,
                               MAP_SHARED, fd, 0);
    if (fd != -1)
        close(fd);
    return at == MAP_FAILED ? nobody_looks : at;
}

static void stop_this_process(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
}

static _Noreturn void kill_this_process(void)
{
    for (;;)
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

void killpoint_pass(enum killpoint which)
{
    static struct point *points;
    const int saved = errno; /* of the system call before the point */
    if (!points)
        points = map_kill_points();
    errno = saved;
    struct point *point = &points[which];
    atomic_fetch_add(&point->passes, 1);
    uint32_t left = atomic_load(&point->left);
    if (left == STOP && atomic_compare_exchange_strong(&point->left, &left, 0)) {
        stop_this_process();
        return;
    }
    while (left > 0)
        if (atomic_compare_exchange_weak(&point->left, &left, left - 1)) {
            if (left == 1)
                kill_this_process();
            break;
        }
}
