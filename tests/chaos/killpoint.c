/*
 * What KILLPOINT() calls in `make killpoints`. The test and all processes of the server share a
 * file, named by WSPUSHD_KILLPOINTS, mapped by each process when it first passes a point:
 *
 *   | passes u32 | left u32 |  of the first point, then of the second, ...
 *
 * Every pass is counted. Where the test has stored n in `left`, the n-th pass from then on is the
 * worker's last: the store of 0 that disarms the point is its last deed, so that its successor
 * lives. Where it has stored STOP, the first worker that passes stops (SIGSTOP) until the test lets
 * it go on.
 *
 * The signal is sent by raw system calls: glibc may remember another process's id, for the worker
 * was made by a raw clone(2).
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

static struct point *map_points(void)
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

static void stop(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
}

static _Noreturn void die(void)
{
    for (;;)
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

void killpoint_pass(enum killpoint which)
{
    static struct point *points;
    const int saved = errno; /* of the system call that the point stands behind */
    if (!points)
        points = map_points();
    errno = saved;
    struct point *point = &points[which];
    atomic_fetch_add(&point->passes, 1);
    uint32_t left = atomic_load(&point->left);
    if (left == STOP && atomic_compare_exchange_strong(&point->left, &left, 0)) {
        stop();
        return;
    }
    while (left > 0)
        if (atomic_compare_exchange_weak(&point->left, &left, left - 1)) {
            if (left == 1)
                die();
            break;
        }
}
