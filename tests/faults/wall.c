/*
 * A wall clock that tests set: preloaded into a server, it adds the seconds in the file named by
 * $WSPUSHD_WALL (8 bytes, the machine's byte order) to CLOCK_REALTIME. Other clocks are left alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const long *open_offset(void)
{
    const int fd = open(getenv("WSPUSHD_WALL"), O_RDONLY | O_CLOEXEC);
    void *at = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        abort();
    close(fd);
    return at;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    static volatile const long *offset;
    if (!offset)
        offset = open_offset();
    const int result = (int)syscall(SYS_clock_gettime, id, now);
    if (id == CLOCK_REALTIME)
        now->tv_sec += *offset;
    return result;
}
