/*
 * See open_fds.h. Uses only system calls and string searches, because a signal handler calls
 * open_fds_end.
 */
#include "common/open_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int open_fds_end(void)
{
    static const char name[] = "\nFDSize:";
    char text[4096]; /* FDSize is within the first 300 bytes */
    const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return -1;
    const ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    const char *found = strstr(text, name);
    if (!found) {
        errno = ENODATA;
        return -1;
    }
    return (int)strtol(found + sizeof(name) - 1, NULL, 10);
}

void open_fds_make_room(int count)
{
    const int highest = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, count - 1);
    if (highest != -1)
        close(highest);
}

bool open_fds_has(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}
